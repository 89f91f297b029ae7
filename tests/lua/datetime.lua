-- datetime: construction, text, arithmetic, its place in tuples and formats.
local datetime = require('datetime')
local json = require('json')
local msgpack = require('msgpack')
local tap = require('tap')
local yaml = require('yaml')

local test = tap.test('datetime')
test:plan(6)

local function message(fn, ...)
    local ok, err = pcall(fn, ...)
    return not ok and tostring(err) or nil
end

test:test('fields make a datetime and come back', function(test)
    test:plan(14)
    local moment = datetime.new{year = 2024, month = 2, day = -1, hour = 3, min = 30, nsec = 7,
                                tz = 'Europe/Moscow'}
    test:is(tostring(moment), '2024-02-29T03:30:00.000000007 Europe/Moscow', 'text')
    test:is(moment.tzoffset, 180, 'offset')
    test:is(datetime.TZ[moment.tzindex], 'Europe/Moscow', 'zone')
    test:is(moment.wday, 5, 'Thursday')
    test:is(moment.yday, 60, 'day of the year')
    test:is(moment.hour, 3, 'hour')
    test:is(moment:totable().day, 29, 'table')
    test:is(moment:format('%Y/%m/%d %H:%M:%S.%6f %z'), '2024/02/29 03:30:00.000000 +0300', 'format')
    test:is(tostring(moment:set{tzoffset = 0, hour = 1}), '2024-02-29T01:30:00.000000007Z', 'set')
    test:like(message(datetime.new, {month = 13}),
              'value 13 of month is out of allowed range %[1, 12%]', 'range')
    test:like(message(datetime.new, {year = 2023, month = 2, day = 29}),
              'invalid number of days 29 in month 2 for 2023', 'no such day')
    test:like(message(datetime.new, {timestamp = 1, year = 2000}),
              'timestamp is not allowed if year/month/day provided', 'both')
    test:like(message(datetime.new, {tz = 'AT'}), "could not parse 'AT' %- ambiguous timezone",
              'ambiguous')
    test:ok(datetime.is_datetime(datetime.now()) and not datetime.is_datetime({}), 'is_datetime')
end)

test:test('texts are parsed', function(test)
    test:plan(6)
    local moment, size = datetime.parse('2012-12-24T15:30:45.123+0300 and more')
    test:is(tostring(moment), '2012-12-24T15:30:45.123+0300', 'ISO 8601')
    test:is(size, 28, 'size')
    test:is(tostring(datetime.parse('24.12.2012', {format = '%d.%m.%Y', tz = 'MSK'})),
            '2012-12-24T00:00:00 MSK', 'pattern and zone')
    test:is(tostring(datetime.parse_date('-200-12-31')), '-200-12-31T00:00:00Z', 'early year')
    test:like(message(datetime.parse_date, '5879612-01-01'), 'invalid date format', 'too late')
    test:like(message(datetime.parse, '2025-321 12', {format = '%G-%j %m'}), 'could not parse',
              'day and month contradict')
end)

test:test('arithmetic is by calendar', function(test)
    test:plan(12)
    local moment = datetime.new{year = 2024, month = 1, day = 31}
    test:is(tostring(moment + {month = 1}), '2024-02-29T00:00:00Z', 'limited')
    test:is(tostring(moment + {month = 1, adjust = 'excess'}), '2024-03-02T00:00:00Z', 'excess')
    test:is(tostring(moment - datetime.interval.new{day = 31}), '2023-12-31T00:00:00Z', 'sub')
    test:is(tostring(moment), '2024-01-31T00:00:00Z', 'operators copy')
    moment:add{hour = 5}
    test:is(tostring(moment), '2024-01-31T05:00:00Z', 'methods change')
    local interval = moment - datetime.new{year = 2023}
    test:is(tostring(interval), '+1 years, 30 days, 5 hours', 'difference')
    test:ok(datetime.interval.is_interval(interval), 'is an interval')
    test:ok(datetime.interval.new{year = 1} > datetime.interval.new{month = 30}, 'order')
    test:ok(datetime.new{hour = 3, tzoffset = 180} == datetime.new(), 'equality is of moments')
    test:like(message(function() return moment + moment end),
              'operator %+: expected interval or table, but received cdata', 'sum of moments')
    test:like(message(function() return moment < 1 end),
              'incompatible types for datetime comparison', 'order with a number')
    test:like(message(function() return moment + {year = 6000000} end),
              'addition makes date greater than maximum allowed 5879611%-07%-11', 'bounds')
end)

test:test('formats write them', function(test)
    test:plan(6)
    local moment = datetime.new{year = 2024, tz = 'MSK'}
    local interval = datetime.interval.new{day = 3, adjust = 'last'}
    test:is(json.encode({moment, interval}), '["2024-01-01T00:00:00 MSK","+3 days"]', 'json')
    test:is(yaml.encode(moment), '--- 2024-01-01T00:00:00 MSK\n...\n', 'yaml')
    local copy = msgpack.decode(msgpack.encode(moment))
    test:is(copy, moment, 'msgpack')
    test:is(copy.tz, 'MSK', 'zone')
    copy = msgpack.decode(msgpack.encode(interval))
    test:is(copy, interval, 'interval')
    test:is(copy:totable().adjust, 'last', 'adjustment')
end)

box.cfg{log_level = 'warn'}

test:test('tuples keep them', function(test)
    test:plan(4)
    local space = box.schema.space.create('events', {format = {
        {name = 'at', type = 'datetime'}, {name = 'length', type = 'interval', is_nullable = true},
    }})
    space:create_index('primary')
    for day = 3, 1, -1 do
        space:insert{datetime.new{year = 2024, day = day}, datetime.interval.new{day = day}}
    end
    test:is(space:select()[1].at, datetime.new{year = 2024, day = 1}, 'ordered')
    test:is(space:get(datetime.new{year = 2024, day = 2}).length, datetime.interval.new{day = 2},
            'found')
    test:like(message(space.insert, space, {1}),
              'Tuple field 1 %(at%) type does not match one required by operation: ' ..
              'expected datetime, got unsigned', 'type of a field')
    test:is(#space:select(datetime.new{year = 2024, day = 2, hour = 5}, {iterator = 'LT'}), 2,
            'range')
end)

test:test('timezones is the table of zones', function(test)
    test:plan(2)
    test:is(require('timezones'), datetime.TZ, 'the same')
    test:is(datetime.TZ.MSK, 238, 'number')
end)

os.exit(test:check() and 0 or 1)
