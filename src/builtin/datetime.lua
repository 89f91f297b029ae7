-- datetime: moments with the offset they are shown in, and intervals between them, as cdata.
--
-- Calendar, time zones and texts are the native half's; here are arguments, bounds and operators.

local ffi = require('ffi')
local tweaks = require('internal.tweaks')
local native = ...

local error, ipairs, tostring, type = error, ipairs, tostring, type
local math_floor, math_modf = math.floor, math.modf

ffi.cdef([[
    struct datetime {
        double epoch;
        int32_t nsec;
        int16_t tzoffset;
        int16_t tzindex;
    };
    typedef enum { DT_EXCESS, DT_LIMIT, DT_SNAP } dt_adjust_t;
    struct interval {
        double sec;
        double min;
        double hour;
        double day;
        int32_t week;
        int32_t month;
        int32_t year;
        int32_t nsec;
        dt_adjust_t adjust;
    };
    struct datetime_fields {
        int32_t day_number, year, month, day, yday, wday, hour, min, sec;
    };
]])

local datetime_type = ffi.typeof('struct datetime')
local interval_type = ffi.typeof('struct interval')
assert(ffi.sizeof(datetime_type) == native.datetime_size and
       ffi.sizeof(interval_type) == native.interval_size, 'cdata is laid out as the Rust types')

local function foreign(name, signature)
    return ffi.cast(signature, native[name])
end

local now = foreign('now', 'void (*)(struct datetime *)')
local parse_iso = foreign('parse', 'ssize_t (*)(struct datetime *, const char *, size_t)')
local parse_by_pattern = foreign('parse_by_pattern',
    'ssize_t (*)(struct datetime *, const char *, size_t, const char *, size_t)')
local parse_date = foreign('parse_date', 'ssize_t (*)(struct datetime *, const char *, size_t)')
local parse_zone = foreign('parse_zone',
    'ssize_t (*)(int16_t *, int16_t *, const char *, size_t, double)')
local parse_offset = foreign('parse_offset', 'ssize_t (*)(int32_t *, const char *, size_t)')
local fill_fields = foreign('fields',
    'void (*)(const struct datetime *, struct datetime_fields *)')
local day_number = foreign('day_number', 'bool (*)(double *, int32_t, int32_t, int32_t)')
local month_days = foreign('month_days', 'int32_t (*)(int32_t, int32_t)')
local is_dst = foreign('is_dst', 'bool (*)(const struct datetime *)')
local increment = foreign('increment',
    'int32_t (*)(struct datetime *, int32_t, const struct interval *)')
local OF_DATETIMES =
    'int32_t (*)(struct interval *, double *, const struct datetime *, const struct datetime *)'
local OF_INTERVALS =
    'int32_t (*)(struct interval *, double *, const struct interval *, const struct interval *)'
local difference = foreign('difference', OF_DATETIMES)
local interval_sum = foreign('interval_add', OF_INTERVALS)
local interval_difference = foreign('interval_sub', OF_INTERVALS)

-- Scratch for results; no call above keeps or yields over them.
local fields = ffi.new('struct datetime_fields')
local int16_results = ffi.new('int16_t[2]')
local int32_result = ffi.new('int32_t[1]')
local double_result = ffi.new('double[1]')

local AMBIGUOUS_ZONE = -2
local DAY_SECONDS = 86400
local OFFSET_MIN, OFFSET_MAX = -12 * 60, 14 * 60
local YEAR_MIN, YEAR_MAX = -5879610, 5879611
local DATE_MIN, DATE_MAX = '-5879610-06-22', '5879611-07-11'
local DAYS_TO_1970 = 719163
local EPOCH_MIN = (-2147483648 - DAYS_TO_1970) * DAY_SECONDS
local EPOCH_MAX = (2147483647 - DAYS_TO_1970) * DAY_SECONDS

-- Bounds of an interval's units: the whole calendar, in mean units.
local YEARS = YEAR_MAX - YEAR_MIN
local DAYS = YEARS * 365.25
local INTERVAL_BOUNDS = {
    year = YEARS,
    month = YEARS * 12,
    week = YEARS * (365.25 / 7),
    day = DAYS,
    hour = DAYS * 24,
    min = DAYS * 24 * 60,
    sec = DAYS * DAY_SECONDS,
    nsec = 2147483647,
    usec = 2147483,
    msec = 2147,
}
local UNITS = {'year', 'month', 'week', 'day', 'hour', 'min', 'sec', 'nsec'}
local ADJUST = {none = 'DT_LIMIT', last = 'DT_SNAP', excess = 'DT_EXCESS'}
local ADJUST_NAMES = {[0] = 'excess', 'none', 'last'}

-- Bounds of a datetime's fields: name, lowest, highest, and a value that stands for the last.
local DATE_FIELDS = {{'year', YEAR_MIN, YEAR_MAX}, {'month', 1, 12}, {'day', 1, 31, -1}}
local TIME_FIELDS = {{'hour', 0, 23}, {'min', 0, 59}, {'sec', 0, 60}}
local FRACTIONS = {{'usec', 1e6, 1e3}, {'msec', 1e3, 1e6}, {'nsec', 1e9, 1}}

local function is_datetime(value)
    return ffi.istype(datetime_type, value)
end

local function is_interval(value)
    return ffi.istype(interval_type, value)
end

-- Levels: each function below takes how far above itself the caller of the module is, so that
-- errors point at the caller.

local function expected(what, value, title, level)
    error(('%s: expected %s, but received %s'):format(title, what, type(value)), level + 1)
end

local function check_datetime(value, title)
    if not is_datetime(value) then
        expected('datetime', value, title, 3)
    end
end

local function check_table(value, title)
    if type(value) ~= 'table' then
        expected('table', value, title, 3)
    end
end

local function check_string(value, title)
    if type(value) ~= 'string' then
        expected('string', value, title, 3)
    end
end

local function check_integer(value, name, level)
    if type(value) ~= 'number' or value % 1 ~= 0 then
        error(('%s: integer value expected, but received %s'):format(name, type(value)), level + 1)
    end
end

local function check_range(value, name, low, high, extra, level)
    if type(value) ~= 'number' then
        error(('numeric value expected, but received %s'):format(type(value)), level + 1)
    end
    if value == extra or (value >= low and value <= high) then
        return
    end
    if extra == nil then
        error(('value %d of %s is out of allowed range [%d, %d]'):format(value, name, low, high),
              level + 1)
    end
    error(('value %d of %s is out of allowed range [%d, %d..%d]'):format(value, name, extra, low,
                                                                        high), level + 1)
end

-- Checks those fields that are given and tells whether any is.
local function check_fields(arguments, bounds, level)
    local any = false
    for _, bound in ipairs(bounds) do
        local name = bound[1]
        local value = arguments[name]
        if value ~= nil then
            check_range(value, name, bound[2], bound[3], bound[4], level + 1)
            check_integer(value, name, level + 1)
            any = true
        end
    end
    return any
end

local function check_one_fraction(arguments, level)
    local nsec, usec, msec = arguments.nsec, arguments.usec, arguments.msec
    if (nsec ~= nil and (usec ~= nil or msec ~= nil)) or (usec ~= nil and msec ~= nil) then
        error('only one of nsec, usec or msecs may be defined simultaneously', level + 1)
    end
end

-- Nanoseconds of nsec, usec or msec; nil when none is given.
local function check_fraction(arguments, level)
    check_one_fraction(arguments, level + 1)
    for _, fraction in ipairs(FRACTIONS) do
        local name, high, nanoseconds = fraction[1], fraction[2], fraction[3]
        local value = arguments[name]
        if value ~= nil then
            check_range(value, name, 0, high, nil, level + 1)
            check_integer(value, name, level + 1)
            return value * nanoseconds
        end
    end
    return nil
end

-- Seconds and nanoseconds of a timestamp; no seconds when there is none.
local function check_timestamp(arguments, has_fields, nsec, is_checked, level)
    local timestamp = arguments.timestamp
    if timestamp == nil then
        return nil, nsec
    end
    if has_fields[1] then
        error('timestamp is not allowed if year/month/day provided', level + 1)
    end
    if has_fields[2] then
        error('timestamp is not allowed if hour/min/sec provided', level + 1)
    end
    if is_checked and type(timestamp) ~= 'number' then
        error(("bad timestamp ('number' expected, got '%s')"):format(type(timestamp)), level + 1)
    end
    local seconds, fraction = math_modf(timestamp)
    if fraction < 0 then
        seconds, fraction = seconds - 1, fraction + 1
    end
    if nsec == nil then
        return seconds, fraction * 1e9
    elseif fraction ~= 0 then
        error('only integer values allowed in timestamp if nsec, usec, or msecs provided',
              level + 1)
    end
    return seconds, nsec
end

local function zone_failure(text, code, level)
    local reason = code == AMBIGUOUS_ZONE and ' - ambiguous timezone' or ''
    error(("could not parse '%s'%s"):format(text, reason), level + 1)
end

-- Offset and number of a zone by its name, for a clock that shows `local_seconds`.
local function zone_by_name(name, local_seconds, level)
    if type(name) ~= 'string' then
        expected('string', name, 'parse_tzname()', level + 1)
    end
    local size = parse_zone(int16_results, int16_results + 1, name, #name, local_seconds)
    if size <= 0 then
        zone_failure(name, size, level + 1)
    end
    return int16_results[0], int16_results[1]
end

local function check_offset(offset, level)
    if type(offset) == 'number' then
        check_integer(offset, 'tzoffset', level + 1)
    elseif type(offset) == 'string' then
        local text = offset
        if parse_offset(int32_result, text, #text) ~= #text then
            error(('invalid time-zone format %s'):format(text), level + 1)
        end
        offset = int32_result[0]
    else
        error(('tzoffset: string or number expected, but received %s'):format(tostring(offset)),
              level + 1)
    end
    check_range(offset, 'tzoffset', OFFSET_MIN, OFFSET_MAX, nil, level + 1)
    return offset
end

-- Offset and number of the zone that is given as tz or tzoffset; nil when none is.
local function check_zone(arguments, local_seconds, level)
    if arguments.tz ~= nil then
        return zone_by_name(arguments.tz, local_seconds, level + 1)
    elseif arguments.tzoffset ~= nil then
        return check_offset(arguments.tzoffset, level + 1), 0
    end
end

-- A timestamp counts the seconds that the clock at the offset shows, as in Tarantool.
local function check_epoch(seconds, offset, level)
    local epoch = seconds - offset * 60
    check_range(epoch, 'timestamp', EPOCH_MIN, EPOCH_MAX, nil, level + 1)
    return epoch
end

-- Day number of a date; a negative day is the last of its month.
local function check_date(year, month, day, level)
    if day < 0 then
        day = month_days(year, month)
    elseif day > 28 and day > month_days(year, month) then
        error(('invalid number of days %d in month %d for %d'):format(day, month, year), level + 1)
    end
    if not day_number(double_result, year, month, day) then
        error(('date %4d-%02d-%02d is invalid'):format(year, month, day), level + 1)
    end
    return double_result[0]
end

local function new_datetime(epoch, nsec, offset, zone)
    return ffi.new(datetime_type, epoch, nsec, offset, zone)
end

local function fields_of(self)
    fill_fields(self, fields)
    return fields
end

local datetime_new = function(arguments)
    if arguments == nil then
        return new_datetime(0, 0, 0, 0)
    end
    check_table(arguments, 'datetime.new()')
    local has_date = check_fields(arguments, DATE_FIELDS, 2)
    local has_time = check_fields(arguments, TIME_FIELDS, 2)
    local nsec = check_fraction(arguments, 2)
    local seconds
    seconds, nsec = check_timestamp(arguments, {has_date, has_time}, nsec, true, 2)
    if seconds ~= nil then
        local offset, zone = check_zone(arguments, seconds, 2)
        offset = offset or 0
        return new_datetime(check_epoch(seconds, offset, 2), nsec, offset, zone or 0)
    end
    seconds = 0
    if has_date then
        seconds = DAY_SECONDS * check_date(arguments.year or 1970, arguments.month or 1,
                                           arguments.day or 1, 2)
    end
    local offset, zone = check_zone(arguments, seconds, 2)
    offset = offset or 0
    if has_time then
        seconds = seconds + (arguments.hour or 0) * 3600 + (arguments.min or 0) * 60 +
                  (arguments.sec or 0)
    end
    return new_datetime(seconds - offset * 60, nsec or 0, offset, zone or 0)
end

-- Changes the fields that are given. `level` is as above.
local function set(self, arguments, level)
    local has_date = check_fields(arguments, DATE_FIELDS, level + 1)
    local has_time = check_fields(arguments, TIME_FIELDS, level + 1)
    local nsec = check_fraction(arguments, level + 1)
    local seconds
    seconds, nsec = check_timestamp(arguments, {has_date, has_time}, nsec,
                                    tweaks.datetime_setfn_timestamp_type_check, level + 1)
    local offset, zone
    if seconds ~= nil then
        offset, zone = check_zone(arguments, seconds, level + 1)
        self.epoch = check_epoch(seconds, offset or self.tzoffset, level + 1)
        self.nsec = nsec
    else
        local current = fields_of(self)
        local day = current.day_number
        local hour, min, sec = current.hour, current.min, current.sec
        seconds = self.epoch + self.tzoffset * 60
        if has_date then
            day = check_date(arguments.year or current.year, arguments.month or current.month,
                             arguments.day or current.day, level + 1)
            seconds = day * DAY_SECONDS + seconds % DAY_SECONDS
        end
        offset, zone = check_zone(arguments, seconds, level + 1)
        if has_time then
            seconds = day * DAY_SECONDS + (arguments.hour or hour) * 3600 +
                      (arguments.min or min) * 60 + (arguments.sec or sec)
        end
        self.epoch = seconds - (offset or self.tzoffset) * 60
        self.nsec = nsec or self.nsec
    end
    self.tzoffset = offset or self.tzoffset
    self.tzindex = zone or self.tzindex
end

local function datetime_set(self, arguments)
    check_datetime(self, 'datetime.set()')
    check_table(arguments, 'datetime.set()')
    set(self, arguments, 2)
    return self
end

local function datetime_now()
    local result = datetime_type()
    now(result)
    return result
end

local function datetime_parse(text, options)
    check_string(text, 'datetime.parse()')
    local pattern, offset, zone
    if options ~= nil then
        check_table(options, 'datetime.parse()')
        pattern, offset, zone = options.format, options.tzoffset, options.tz
    end
    if pattern ~= nil then
        check_string(pattern, 'datetime.parse()')
    end
    if offset ~= nil then
        check_offset(offset, 2)
    end
    if zone ~= nil then
        check_string(zone, 'datetime.parse()')
    end
    if offset ~= nil and zone ~= nil then
        error('ambiguous timezone: both tzoffset and tz are specified', 2)
    end
    local result, size = datetime_type(), nil
    if pattern == nil or pattern == '' or pattern == 'iso8601' or pattern == 'rfc3339' then
        size = parse_iso(result, text, #text)
        if size <= 0 then
            zone_failure(text, size, 2)
        end
    else
        size = parse_by_pattern(result, text, #text, pattern, #pattern)
        if size <= 0 then
            error(("could not parse '%s' using '%s' format"):format(text, pattern), 2)
        end
    end
    -- The options speak for a text without a zone.
    if result.tzindex == 0 and result.tzoffset == 0 and (offset ~= nil or zone ~= nil) then
        set(result, {tzoffset = offset, tz = zone}, 2)
    end
    return result, tonumber(size)
end

local function datetime_parse_date(text)
    check_string(text, 'datetime.parse_date()')
    local result = datetime_type()
    local size = parse_date(result, text, #text)
    if size <= 0 then
        error(('invalid date format %s'):format(text), 2)
    end
    return result, tonumber(size)
end

-- Bounds and wholeness of an interval's unit.
local function check_unit(arguments, name, is_whole, level)
    local value = arguments[name]
    if value == nil then
        return 0
    end
    if type(value) ~= 'number' then
        error(('numeric value expected, but received %s'):format(type(value)), level + 1)
    end
    local bound = INTERVAL_BOUNDS[name]
    if value < -bound or value > bound then
        error(('value %s of %s is out of allowed range [%s, %s]'):format(value, name, -bound,
                                                                        bound), level + 1)
    end
    if is_whole then
        check_integer(value, name, level + 1)
    end
    return value
end

local function to_interval(arguments, level)
    if is_interval(arguments) then
        return arguments
    end
    level = level + 1
    local result = interval_type()
    result.year = check_unit(arguments, 'year', true, level)
    result.month = check_unit(arguments, 'month', true, level)
    result.adjust = ADJUST[arguments.adjust] or 'DT_LIMIT'
    result.week = check_unit(arguments, 'week', false, level)
    result.day = check_unit(arguments, 'day', true, level)
    result.hour = check_unit(arguments, 'hour', true, level)
    result.min = check_unit(arguments, 'min', true, level)
    result.sec = check_unit(arguments, 'sec', true, level)
    local nsec = check_unit(arguments, 'nsec', false, level)
    local usec = check_unit(arguments, 'usec', false, level)
    local msec = check_unit(arguments, 'msec', false, level)
    check_one_fraction(arguments, level)
    result.nsec = msec * 1e6 + usec * 1e3 + nsec
    return result
end

local function interval_new(arguments)
    if arguments == nil then
        arguments = {}
    end
    check_table(arguments, 'interval.new()')
    return (to_interval(arguments, 2))
end

local function shift(self, direction, interval, level)
    local problem = increment(self, direction, interval)
    if problem == 0 then
        return self
    end
    error(('%s makes date %s allowed %s'):format(
        direction > 0 and 'addition' or 'subtraction',
        problem < 0 and 'less than minimum' or 'greater than maximum',
        problem < 0 and DATE_MIN or DATE_MAX), level + 1)
end

-- Calls one of the functions that make an interval of two operands.
local function combine(operation, name, left, right, level)
    local result = interval_type()
    local position = operation(result, double_result, left, right)
    if position == 0 then
        return result
    end
    local unit = UNITS[position]
    local bound = INTERVAL_BOUNDS[unit]
    error(('%s moves value %s of %s out of allowed range [%s, %s]'):format(
        name, double_result[0], unit, -bound, bound), level + 1)
end

local function check_left(value, title)
    if not is_datetime(value) and not is_interval(value) then
        expected('datetime or interval', value, title, 3)
    end
end

local function subtract(left, right)
    check_left(left, 'operator -')
    if not is_datetime(right) and not is_interval(right) and type(right) ~= 'table' then
        expected('datetime, interval or table', right, 'operator -', 2)
    end
    if is_datetime(left) then
        if is_datetime(right) then
            return (combine(difference, 'subtraction', left, right, 2))
        end
        return (shift(ffi.new(datetime_type, left), -1, to_interval(right, 2), 2))
    elseif is_datetime(right) then
        error('datetime:operator -() - incompatible type of arguments', 2)
    end
    return (combine(interval_difference, 'subtraction', left, to_interval(right, 2), 2))
end

local function add(left, right)
    if is_datetime(right) then
        left, right = right, left
    end
    check_left(left, 'operator +')
    if not is_interval(right) and type(right) ~= 'table' then
        expected('interval or table', right, 'operator +', 2)
    end
    if is_datetime(left) then
        return (shift(ffi.new(datetime_type, left), 1, to_interval(right, 2), 2))
    end
    return (combine(interval_sum, 'addition', left, to_interval(right, 2), 2))
end

-- A method that moves a datetime by an interval.
local function mover(title, direction)
    return function(self, interval)
        check_datetime(self, title)
        if not is_interval(interval) and type(interval) ~= 'table' then
            expected('interval or table', interval, title, 2)
        end
        return (shift(self, direction, to_interval(interval, 2), 2))
    end
end

local function compare_datetimes(left, right)
    local seconds = left.epoch - right.epoch
    return seconds ~= 0 and seconds or left.nsec - right.nsec
end

local function compare_intervals(left, right)
    for _, unit in ipairs(UNITS) do
        local units = left[unit] - right[unit]
        if units ~= 0 then
            return units
        end
    end
    return 0
end

-- Adds the comparison operators of a type to its metatable.
local function add_order(metatable, kind, is_kind, compare)
    local function order(left, right)
        if not is_kind(left) or not is_kind(right) then
            error(('incompatible types for %s comparison'):format(kind), 3)
        end
        return compare(left, right)
    end
    function metatable.__eq(left, right)
        return is_kind(left) and is_kind(right) and compare(left, right) == 0
    end
    function metatable.__lt(left, right)
        return order(left, right) < 0
    end
    function metatable.__le(left, right)
        return order(left, right) <= 0
    end
    return metatable
end

local function datetime_tostring(self)
    return native.datetime_tostring(self)
end

local function datetime_format(self, pattern)
    check_datetime(self, 'datetime.format()')
    if pattern == nil then
        return native.datetime_tostring(self)
    end
    check_string(pattern, 'datetime.strftime()')
    return native.format(self, pattern)
end

-- 1 is Sunday, as in os.date().
local function week_day(monday_first)
    return monday_first % 7 + 1
end

local function timestamp(self)
    return self.epoch + self.nsec / 1e9
end

local function datetime_totable(self)
    check_datetime(self, 'datetime.totable()')
    local current = fields_of(self)
    return {
        year = current.year,
        month = current.month,
        yday = current.yday,
        wday = week_day(current.wday),
        day = current.day,
        hour = current.hour,
        min = current.min,
        sec = current.sec,
        isdst = is_dst(self),
        nsec = self.nsec,
        tzoffset = self.tzoffset,
        tz = native.format(self, '%Z'),
        timestamp = timestamp(self),
    }
end

local getters = {
    timestamp = timestamp,
    year = function(self) return fields_of(self).year end,
    yday = function(self) return fields_of(self).yday end,
    month = function(self) return fields_of(self).month end,
    day = function(self) return fields_of(self).day end,
    wday = function(self) return week_day(fields_of(self).wday) end,
    hour = function(self) return fields_of(self).hour end,
    min = function(self) return fields_of(self).min end,
    sec = function(self) return fields_of(self).sec end,
    usec = function(self) return self.nsec / 1e3 end,
    msec = function(self) return self.nsec / 1e6 end,
    isdst = function(self) return is_dst(self) end,
    tz = function(self) return native.format(self, '%Z') end,
}

local methods = {
    format = datetime_format,
    totable = datetime_totable,
    set = datetime_set,
    add = mover('datetime.add', 1),
    sub = mover('datetime.sub', -1),
}

ffi.metatype(datetime_type, add_order({
    __tostring = datetime_tostring,
    __sub = subtract,
    __add = add,
    __index = function(self, key)
        local getter = getters[key]
        if getter ~= nil then
            return getter(self)
        end
        return methods[key]
    end,
}, 'datetime', is_datetime, compare_datetimes))

local function interval_tostring(self)
    if not is_interval(self) then
        expected('interval', self, 'datetime.interval.tostring', 2)
    end
    return native.interval_tostring(self)
end

local function interval_totable(self)
    if not is_interval(self) then
        expected('interval', self, 'interval.totable()', 2)
    end
    local result = {adjust = ADJUST_NAMES[tonumber(self.adjust)]}
    for _, unit in ipairs(UNITS) do
        result[unit] = self[unit]
    end
    return result
end

local interval_members = {totable = interval_totable, __serialize = interval_tostring}

ffi.metatype(interval_type, add_order({
    __tostring = interval_tostring,
    __sub = subtract,
    __add = add,
    __index = function(self, key)
        if key == 'usec' then
            return math_floor(self.nsec / 1e3)
        elseif key == 'msec' then
            return math_floor(self.nsec / 1e6)
        end
        return interval_members[key]
    end,
}, 'interval', is_interval, compare_intervals))

local function maker(ctype)
    local size = ffi.sizeof(ctype)
    return function(address)
        local result = ctype()
        ffi.copy(result, address, size)
        return result
    end
end

native.register(tonumber(datetime_type), maker(datetime_type),
                tonumber(interval_type), maker(interval_type))

return {
    new = datetime_new,
    now = datetime_now,
    parse = datetime_parse,
    parse_date = datetime_parse_date,
    is_datetime = is_datetime,
    interval = {new = interval_new, is_interval = is_interval},
    TZ = native.zones(),
}
