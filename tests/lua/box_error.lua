-- box.error: making, raising and looking at errors.
local tap = require('tap')

local test = tap.test('box_error')
test:plan(33)

local function caught(run, ...)
    return (select(2, pcall(run, ...)))
end

local err = box.error.new(box.error.NO_SUCH_SPACE, 'books')
test:is(tostring(err), "Space 'books' does not exist", 'a message by code')
test:is_deeply({err.type, err.base_type, err.code, err.name, err.space},
    {'ClientError', 'ClientError', 36, 'NO_SUCH_SPACE', 'books'}, 'its fields')
test:is(err.trace[1].file:match('[^/]+$'), 'box_error.lua', 'it knows where it was made')
test:is(err.trace[1].line, 11, 'and the line')
test:is(box.error.NO_SUCH_SPACE, 36, 'codes are constants')

err = box.error.new({type = 'Mine', code = 7, reason = 'no', list = {1, 2}, flag = true})
test:is_deeply({err.type, err.base_type, err.code, err.message, err.flag},
    {'Mine', 'CustomError', 7, 'no', true}, 'a custom error from a table')
test:is_deeply(err.list, {1, 2}, 'a table as payload')
test:is_deeply(err:unpack().list, {1, 2}, 'and unpacked')
test:is(err:unpack().custom_type, 'Mine', 'unpack shows the custom type')
err = box.error.new('Mine', 'item %d of %s', 3, 'x')
test:is(err.message, 'item 3 of x', 'a custom error with a format')
test:is(box.error.new({code = box.error.READONLY}).message,
    "Can't modify data on a read-only instance", 'a reason by code')
test:is(box.error.new({'text'}).message, 'text', 'a reason by position')

test:is(caught(box.error, err), err, 'raising one')
test:is(box.error.last(), err, 'makes it the last')
test:is(caught(box.error), err, 'which is raised again without arguments')
box.error.clear()
test:isnil(box.error.last(), 'and can be forgotten')
box.error.set(err)
test:is(box.error.last(), err, 'or set')
box.error.clear()

local fiber = require('fiber')
local other = fiber.new(function()
    pcall(box.error, box.error.UNKNOWN)
    return box.error.last() ~= nil
end)
other:set_joinable(true)
test:is(select(2, other:join()), true, 'another fiber has its own last error')
test:isnil(box.error.last(), 'which is not ours')

local cause = box.error.new('Cause', 'cause')
err = box.error.new({type = 'Effect', reason = 'effect', prev = cause, only = 1})
test:is(err.prev, cause, 'prev')
test:is(tostring(caught(cause.set_prev, cause, err)), 'Cycles are not allowed', 'no cycles')
cause = box.error.new({type = 'Cause', reason = 'cause', detail = 'deep'})
err:set_prev(cause)
test:is(err.detail, 'deep', 'payload of the cause shows through')
err:set_prev(nil)
test:isnil(err.prev, 'prev is taken away')

test:is(tostring(caught(box.error.new)), 'box.error.new(): bad arguments', 'no arguments')
test:is(tostring(caught(box.error.new, 'Type')), 'box.error.new(): bad arguments', 'no message')
test:is(tostring(caught(box.error, 36, 'x', 'level')), 'box.error(): bad arguments', 'wrong level')
test:is(tostring(caught(box.error.last, 1)), 'box.error.last(): bad arguments', 'last(1)')
test:is(tostring(caught(box.error.set, 1)),
    'Invalid argument #1 (error expected, got number)', 'set(1)')
test:is(tostring(caught(box.error.new, {reason = 'x', prev = 5})),
    "Invalid argument 'prev' (error expected, got number)", 'a wrong prev')
test:ok(box.error.is(err) and not box.error.is('x') and not box.error.is(), 'is')

local function raise_for_caller()
    box.error(box.error.UNKNOWN, 2)
end
local line = debug.getinfo(1, 'l').currentline + 1
err = caught(function() raise_for_caller() end)
test:is(err.trace[1].line, line, 'level 2 is the caller')
test:is(#box.error.new({reason = 'x'}, 0).trace, 0, 'level 0 is nobody')
test:is(err:match('Unk(%a+)'), 'nown', 'match')

os.exit(test:check() and 0 or 1)
