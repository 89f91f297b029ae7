-- fun: lazy iterators over arrays, maps, strings and generators, shaped for the JIT compiler.
--
-- An iterator is a generic-for triplet: a generator `gen(param, state)` that returns the next
-- state and values (or nil at the end). A generator is always a top-level function and never
-- creates closures or tables per step, so a whole pipeline compiles into one trace.

local getmetatable, ipairs, rawequal = getmetatable, ipairs, rawequal
local select, setmetatable, tostring, type = select, setmetatable, tostring, type
local error, pairs = error, pairs
local ceil, floor, random = math.ceil, math.floor, math.random
local find, sub = string.find, string.sub

local ipairs_gen = ipairs({})
local raw_next = next

local exports = {}
local methods = {}

local iterator_mt = {
    __call = function(self, param, state)
        return self.gen(param, state)
    end,
    __tostring = function()
        return '<generator>'
    end,
    __index = methods,
}

-- An iterator object goes together with its param and state, for the generic `for`.
local function wrap(gen, param, state)
    return setmetatable({gen = gen, param = param, state = state}, iterator_mt), param, state
end

local function nil_gen()
    return nil
end

local function string_gen(text, position)
    position = position + 1
    if position > #text then
        return nil
    end
    return position, sub(text, position, position)
end

local function map_gen(map, key)
    local value
    key, value = raw_next(map, key)
    return key, key, value
end

local function not_iterable(object)
    return error(('object %s of type "%s" is not iterable'):format(tostring(object),
                                                                   type(object)), 0)
end

-- Turns anything iterable into a bare triplet.
local function raw_iter(object, param, state)
    local kind = type(object)
    if kind == 'table' then
        local mt = getmetatable(object)
        if mt ~= nil then
            if rawequal(mt, iterator_mt) then
                return object.gen, object.param, object.state
            elseif type(mt) == 'table' and mt.__ipairs ~= nil then
                return ipairs(object)
            elseif type(mt) == 'table' and mt.__pairs ~= nil then
                return pairs(object)
            end
        end
        if #object > 0 then
            return ipairs(object)
        end
        return map_gen, object, nil
    elseif kind == 'function' then
        return object, param, state
    elseif kind == 'string' then
        if #object == 0 then
            return nil_gen, nil, nil
        end
        return string_gen, object, 0
    end
    local mt = debug.getmetatable(object)
    if type(mt) == 'table' then
        if mt.__ipairs ~= nil then
            return mt.__ipairs(object)
        elseif mt.__pairs ~= nil then
            return mt.__pairs(object)
        end
    end
    return not_iterable(object)
end

local function iter(object, param, state)
    return wrap(raw_iter(object, param, state))
end

exports.wrap = wrap
exports.iter = iter

-- Publishes `fn(gen, param, state)` as `fun.name(iterable)` and `iterator:name()`.
local function export0(fn, ...)
    local function method(self)
        return fn(self.gen, self.param, self.state)
    end
    local function export(object, param, state)
        return fn(raw_iter(object, param, state))
    end
    for i = 1, select('#', ...) do
        local name = select(i, ...)
        methods[name], exports[name] = method, export
    end
end

-- Publishes `fn(arg, gen, param, state)` as `fun.name(arg, iterable)` and `iterator:name(arg)`.
local function export1(fn, ...)
    local function method(self, arg)
        return fn(arg, self.gen, self.param, self.state)
    end
    local function export(arg, object, param, state)
        return fn(arg, raw_iter(object, param, state))
    end
    for i = 1, select('#', ...) do
        local name = select(i, ...)
        methods[name], exports[name] = method, export
    end
end

-- The same with two leading arguments.
local function export2(fn, ...)
    local function method(self, arg1, arg2)
        return fn(arg1, arg2, self.gen, self.param, self.state)
    end
    local function export(arg1, arg2, object, param, state)
        return fn(arg1, arg2, raw_iter(object, param, state))
    end
    for i = 1, select('#', ...) do
        local name = select(i, ...)
        methods[name], exports[name] = method, export
    end
end

function methods.unwrap(self)
    return self.gen, self.param, self.state
end

-- Calls `visit` with the values of one step and passes the state through.
local function visit_step(visit, state, ...)
    if state ~= nil then
        visit(...)
    end
    return state
end

local function each(visit, gen, param, state)
    repeat
        state = visit_step(visit, gen(param, state))
    until state == nil
end
export1(each, 'each', 'for_each', 'foreach')

-- Generators ------------------------------------------------------------------------------

local function range_up_gen(param, state)
    state = state + param[2]
    if state > param[1] then
        return nil
    end
    return state, state
end

local function range_down_gen(param, state)
    state = state + param[2]
    if state < param[1] then
        return nil
    end
    return state, state
end

-- range(stop), range(start, stop) or range(start, stop, step); both ends belong to it.
function exports.range(start, stop, step)
    if step == nil then
        if stop == nil then
            if start == 0 then
                return wrap(nil_gen, nil, nil)
            end
            stop = start
            start = stop > 0 and 1 or -1
        end
        step = start <= stop and 1 or -1
    end
    if type(start) ~= 'number' then
        error('start must be a number', 2)
    elseif type(stop) ~= 'number' then
        error('stop must be a number', 2)
    elseif type(step) ~= 'number' then
        error('step must be a number', 2)
    elseif step == 0 then
        error('step must not be zero', 2)
    end
    if step > 0 then
        return wrap(range_up_gen, {stop, step}, start - step)
    end
    return wrap(range_down_gen, {stop, step}, start - step)
end

local function duplicate_gen(value, state)
    return state + 1, value
end

local function duplicate_many_gen(values, state)
    return state + 1, unpack(values, 1, values.n)
end

local function tabulate_gen(fn, state)
    return state + 1, fn(state)
end

local function random_real_gen()
    return 0, random()
end

local function random_integer_gen(param)
    return 0, random(param[1], param[2])
end

function exports.duplicate(...)
    local count = select('#', ...)
    if count <= 1 then
        return wrap(duplicate_gen, (...), 0)
    end
    return wrap(duplicate_many_gen, {n = count, ...}, 0)
end
exports.replicate = exports.duplicate
exports.xrepeat = exports.duplicate

function exports.tabulate(fn)
    return wrap(tabulate_gen, fn, 0)
end

function exports.zeros()
    return wrap(duplicate_gen, 0, 0)
end

function exports.ones()
    return wrap(duplicate_gen, 1, 0)
end

-- rands() gives reals in [0, 1); rands(n) integers in [0, n); rands(n, m) integers in [n, m).
function exports.rands(n, m)
    if n == nil and m == nil then
        return wrap(random_real_gen, 0, 0)
    end
    if type(n) ~= 'number' then
        error('invalid first arg to rands', 2)
    end
    if m == nil then
        n, m = 0, n
    elseif type(m) ~= 'number' then
        error('invalid second arg to rands', 2)
    end
    if n >= m then
        error('empty interval', 2)
    end
    return wrap(random_integer_gen, {n, m - 1}, 0)
end

-- Slicing ---------------------------------------------------------------------------------

-- Drops the state of a step, keeping its values.
local function values_of(state, ...)
    if state == nil then
        return nil
    end
    return ...
end

local function first_of(state)
    return state
end

local function nth(n, gen, param, state)
    if type(n) ~= 'number' or n <= 0 then
        error('invalid first argument to nth', 3)
    end
    if gen == ipairs_gen then
        return param[state + n]
    elseif gen == string_gen then
        local at = state + n
        if at > #param then
            return nil
        end
        return sub(param, at, at)
    end
    for _ = 1, n - 1 do
        state = first_of(gen(param, state))
        if state == nil then
            return nil
        end
    end
    return values_of(gen(param, state))
end
export1(nth, 'nth')

local function head_step(state, ...)
    if state == nil then
        error('head: iterator is empty', 0)
    end
    return ...
end

local function head(gen, param, state)
    return head_step(gen(param, state))
end
export0(head, 'head', 'car')

local function tail(gen, param, state)
    state = first_of(gen(param, state))
    if state == nil then
        return wrap(nil_gen, nil, nil)
    end
    return wrap(gen, param, state)
end
export0(tail, 'tail', 'cdr')

-- A composed state is {position, inner state}; it is rebuilt per step, and the compiler sinks
-- the allocation.
local function take_n_step(index, state, ...)
    if state == nil then
        return nil
    end
    return {index, state}, ...
end

local function take_n_gen(param, state)
    local index = state[1]
    if index >= param[1] then
        return nil
    end
    return take_n_step(index + 1, param[2](param[3], state[2]))
end

local function take_n(n, gen, param, state)
    if type(n) ~= 'number' or n < 0 then
        error('invalid first argument to take_n', 3)
    end
    return wrap(take_n_gen, {n, gen, param}, {0, state})
end
export1(take_n, 'take_n')

local function take_while_step(predicate, state, ...)
    if state == nil or not predicate(...) then
        return nil
    end
    return state, ...
end

local function take_while_gen(param, state)
    return take_while_step(param[1], param[2](param[3], state))
end

local function take_while(predicate, gen, param, state)
    if type(predicate) ~= 'function' then
        error('invalid first argument to take_while', 3)
    end
    return wrap(take_while_gen, {predicate, gen, param}, state)
end
export1(take_while, 'take_while')

local function take(n_or_predicate, gen, param, state)
    if type(n_or_predicate) == 'number' then
        return take_n(n_or_predicate, gen, param, state)
    end
    return take_while(n_or_predicate, gen, param, state)
end
export1(take, 'take')

local function drop_n(n, gen, param, state)
    if type(n) ~= 'number' or n < 0 then
        error('invalid first argument to drop_n', 3)
    end
    for _ = 1, n do
        state = first_of(gen(param, state))
        if state == nil then
            return wrap(nil_gen, nil, nil)
        end
    end
    return wrap(gen, param, state)
end
export1(drop_n, 'drop_n')

local function drop_while_step(predicate, state, ...)
    return state, state ~= nil and predicate(...)
end

local function drop_while(predicate, gen, param, state)
    if type(predicate) ~= 'function' then
        error('invalid first argument to drop_while', 3)
    end
    local before, dropped
    repeat
        before = state
        state, dropped = drop_while_step(predicate, gen(param, state))
    until not dropped
    if state == nil then
        return wrap(nil_gen, nil, nil)
    end
    return wrap(gen, param, before)
end
export1(drop_while, 'drop_while')

local function drop(n_or_predicate, gen, param, state)
    if type(n_or_predicate) == 'number' then
        return drop_n(n_or_predicate, gen, param, state)
    end
    return drop_while(n_or_predicate, gen, param, state)
end
export1(drop, 'drop')

local function split(n_or_predicate, gen, param, state)
    local left = take(n_or_predicate, gen, param, state)
    local right = drop(n_or_predicate, gen, param, state)
    return left, right
end
export1(split, 'split', 'split_at', 'span')

-- Indexing --------------------------------------------------------------------------------

local function index(wanted, gen, param, state)
    local position, value = 1, nil
    state, value = gen(param, state)
    while state ~= nil do
        if value == wanted then
            return position
        end
        position = position + 1
        state, value = gen(param, state)
    end
    return nil
end
export1(index, 'index', 'index_of', 'elem_index')

local function indexes_gen(param, state)
    local wanted, gen, inner = param[1], param[2], param[3]
    local position, inner_state, value = state[1], state[2], nil
    while true do
        inner_state, value = gen(inner, inner_state)
        if inner_state == nil then
            return nil
        end
        position = position + 1
        if value == wanted then
            return {position, inner_state}, position
        end
    end
end

local function indexes(wanted, gen, param, state)
    return wrap(indexes_gen, {wanted, gen, param}, {0, state})
end
export1(indexes, 'indexes', 'indices', 'elem_indexes', 'elem_indices')

-- Filtering -------------------------------------------------------------------------------

-- Iterators of single values need no varargs: the loop stays in one frame.
local function filter_single_gen(param, state)
    local predicate, gen, inner = param[1], param[2], param[3]
    local value
    repeat
        state, value = gen(inner, state)
    until state == nil or predicate(value)
    return state, value
end

local filter_gen

local function filter_step(param, state, ...)
    if state == nil then
        return nil
    elseif param[1](...) then
        return state, ...
    elseif select('#', ...) < 2 then
        return filter_single_gen(param, state)
    end
    return filter_gen(param, state)
end

filter_gen = function(param, state)
    return filter_step(param, param[2](param[3], state))
end

local function filter(predicate, gen, param, state)
    return wrap(filter_gen, {predicate, gen, param}, state)
end
export1(filter, 'filter', 'remove_if')

local function grep(pattern_or_predicate, gen, param, state)
    local predicate = pattern_or_predicate
    if type(pattern_or_predicate) == 'string' then
        predicate = function(value)
            return find(value, pattern_or_predicate) ~= nil
        end
    end
    return filter(predicate, gen, param, state)
end
export1(grep, 'grep')

local function partition(predicate, gen, param, state)
    local function opposite(...)
        return not predicate(...)
    end
    local matching = filter(predicate, gen, param, state)
    local rest = filter(opposite, gen, param, state)
    return matching, rest
end
export1(partition, 'partition')

-- Reducing --------------------------------------------------------------------------------

local function foldl_step(fn, accumulator, state, ...)
    if state == nil then
        return nil, accumulator
    end
    return state, fn(accumulator, ...)
end

local function foldl(fn, start, gen, param, state)
    repeat
        state, start = foldl_step(fn, start, gen(param, state))
    until state == nil
    return start
end
export2(foldl, 'foldl', 'reduce')

local function length(gen, param, state)
    if gen == ipairs_gen then
        return #param - state
    elseif gen == string_gen then
        return #param - state
    end
    local count = -1
    repeat
        state = first_of(gen(param, state))
        count = count + 1
    until state == nil
    return count
end
export0(length, 'length')

local function is_null(gen, param, state)
    return gen(param, state) == nil
end
export0(is_null, 'is_null')

local function is_prefix_of(prefix, object)
    local gen_x, param_x, state_x = raw_iter(prefix)
    local gen_y, param_y, state_y = raw_iter(object)
    local x, y
    while true do
        state_x, x = gen_x(param_x, state_x)
        if state_x == nil then
            return true
        end
        state_y, y = gen_y(param_y, state_y)
        if state_y == nil or x ~= y then
            return false
        end
    end
end
methods.is_prefix_of = is_prefix_of
exports.is_prefix_of = is_prefix_of

local function all_step(predicate, state, ...)
    return state, state == nil or predicate(...)
end

local function all(predicate, gen, param, state)
    local holds
    repeat
        state, holds = all_step(predicate, gen(param, state))
    until state == nil or not holds
    return state == nil
end
export1(all, 'all', 'every')

local function any_step(predicate, state, ...)
    return state, state ~= nil and predicate(...)
end

local function any(predicate, gen, param, state)
    local holds
    repeat
        state, holds = any_step(predicate, gen(param, state))
    until state == nil or holds
    return not not holds
end
export1(any, 'any', 'some')

local function sum(gen, param, state)
    local total, value = 0, 0
    repeat
        total = total + value
        state, value = gen(param, state)
    until state == nil
    return total
end
export0(sum, 'sum')

local function product(gen, param, state)
    local total, value = 1, 1
    repeat
        total = total * value
        state, value = gen(param, state)
    until state == nil
    return total
end
export0(product, 'product')

local function smaller(a, b)
    return b < a and b or a
end

local function greater(a, b)
    return b > a and b or a
end

local function select_by(choose, what, gen, param, state)
    local best, value
    state, best = gen(param, state)
    if state == nil then
        error(what .. ': iterator is empty', 0)
    end
    state, value = gen(param, state)
    while state ~= nil do
        best = choose(best, value)
        state, value = gen(param, state)
    end
    return best
end

export0(function(gen, param, state)
    return select_by(smaller, 'min', gen, param, state)
end, 'min', 'minimum')

export0(function(gen, param, state)
    return select_by(greater, 'max', gen, param, state)
end, 'max', 'maximum')

export1(function(choose, gen, param, state)
    return select_by(choose, 'min', gen, param, state)
end, 'min_by', 'minimum_by')

export1(function(choose, gen, param, state)
    return select_by(choose, 'max', gen, param, state)
end, 'max_by', 'maximum_by')

local function totable(gen, param, state)
    local result, count, value = {}, 0, nil
    state, value = gen(param, state)
    while state ~= nil do
        count = count + 1
        result[count] = value
        state, value = gen(param, state)
    end
    return result
end
export0(totable, 'totable')

local function tomap(gen, param, state)
    local result, key, value = {}, nil, nil
    state, key, value = gen(param, state)
    while state ~= nil do
        result[key] = value
        state, key, value = gen(param, state)
    end
    return result
end
export0(tomap, 'tomap')

-- Transformations -------------------------------------------------------------------------

local function map_step(fn, state, ...)
    if state == nil then
        return nil
    end
    return state, fn(...)
end

local function map_values_gen(param, state)
    return map_step(param[1], param[2](param[3], state))
end

local function map(fn, gen, param, state)
    return wrap(map_values_gen, {fn, gen, param}, state)
end
export1(map, 'map')

local function enumerate_step(position, state, ...)
    if state == nil then
        return nil
    end
    return {position, state}, position, ...
end

local function enumerate_gen(param, state)
    return enumerate_step(state[1] + 1, param[1](param[2], state[2]))
end

local function enumerate(gen, param, state)
    return wrap(enumerate_gen, {gen, param}, {0, state})
end
export0(enumerate, 'enumerate')

local function intersperse_step(position, state, ...)
    if state == nil then
        return nil
    end
    return {position, state}, ...
end

local function intersperse_gen(param, state)
    local position, inner_state = state[1], state[2]
    if position % 2 == 1 then
        return {position + 1, inner_state}, param[1]
    end
    return intersperse_step(position + 1, param[2](param[3], inner_state))
end

local function intersperse(separator, gen, param, state)
    return wrap(intersperse_gen, {separator, gen, param}, {0, state})
end
export1(intersperse, 'intersperse')

-- Compositions ----------------------------------------------------------------------------

-- Splits an argument list of iterables into arrays of generators, params and states; an
-- iterator object may be followed by its own param and state, as a function call leaves them.
local function collect_iterators(...)
    local gens, params, states, count = {}, {}, {}, 0
    local i, total = 1, select('#', ...)
    while i <= total do
        local object = select(i, ...)
        count = count + 1
        if type(object) == 'table' and rawequal(getmetatable(object), iterator_mt) then
            gens[count], params[count], states[count] = object.gen, object.param, object.state
            if i == total - 2 then
                local _, param, state = select(i, ...)
                if rawequal(param, object.param) and rawequal(state, object.state) then
                    break
                end
            end
            i = i + 1
        elseif type(object) == 'function' then
            local _, param, state = select(i, ...)
            gens[count], params[count], states[count] = object, param, state
            break
        else
            gens[count], params[count], states[count] = raw_iter(object)
            i = i + 1
        end
    end
    return gens, params, states, count
end

local function zip2_gen(param, state)
    local gens, params = param[1], param[2]
    local state1, value1 = gens[1](params[1], state[1])
    if state1 == nil then
        return nil
    end
    local state2, value2 = gens[2](params[2], state[2])
    if state2 == nil then
        return nil
    end
    return {state1, state2}, value1, value2
end

local function zip_gen(param, state)
    local gens, params, count = param[1], param[2], param[3]
    local states, values = {}, {}
    for i = 1, count do
        states[i], values[i] = gens[i](params[i], state[i])
        if states[i] == nil then
            return nil
        end
    end
    return states, unpack(values, 1, count)
end

function exports.zip(...)
    local gens, params, states, count = collect_iterators(...)
    if count == 0 then
        return wrap(nil_gen, nil, nil)
    elseif count == 2 then
        return wrap(zip2_gen, {gens, params}, states)
    end
    return wrap(zip_gen, {gens, params, count}, states)
end
methods.zip = exports.zip

local cycle_gen

local function cycle_step(param, state, ...)
    if state == nil then
        return cycle_gen(param, param[3])
    end
    return state, ...
end

cycle_gen = function(param, state)
    return cycle_step(param, param[1](param[2], state))
end

-- An empty iterator repeats to an empty iterator instead of an endless loop.
local function cycle(gen, param, state)
    if first_of(gen(param, state)) == nil then
        return wrap(nil_gen, nil, nil)
    end
    return wrap(cycle_gen, {gen, param, state}, state)
end
export0(cycle, 'cycle')

local chain_gen

local function chain_step(param, position, state, ...)
    if state == nil then
        position = position + 1
        if position > param[4] then
            return nil
        end
        return chain_gen(param, {position, param[3][position]})
    end
    return {position, state}, ...
end

chain_gen = function(param, state)
    local position = state[1]
    return chain_step(param, position, param[1][position](param[2][position], state[2]))
end

function exports.chain(...)
    local gens, params, states, count = collect_iterators(...)
    if count == 0 then
        return wrap(nil_gen, nil, nil)
    end
    return wrap(chain_gen, {gens, params, states, count}, {1, states[1]})
end
methods.chain = exports.chain

-- Operators -------------------------------------------------------------------------------

local operator = {
    lt = function(a, b) return a < b end,
    le = function(a, b) return a <= b end,
    eq = function(a, b) return a == b end,
    ne = function(a, b) return a ~= b end,
    ge = function(a, b) return a >= b end,
    gt = function(a, b) return a > b end,
    add = function(a, b) return a + b end,
    div = function(a, b) return a / b end,
    floordiv = function(a, b) return floor(a / b) end,
    -- Rounds towards zero, where floordiv rounds down.
    intdiv = function(a, b)
        local quotient = a / b
        return quotient >= 0 and floor(quotient) or ceil(quotient)
    end,
    mod = function(a, b) return a % b end,
    mul = function(a, b) return a * b end,
    pow = function(a, b) return a ^ b end,
    sub = function(a, b) return a - b end,
    unm = function(a) return -a end,
    concat = function(a, b) return a .. b end,
    length = function(a) return #a end,
    land = function(a, b) return a and b end,
    lor = function(a, b) return a or b end,
    lnot = function(a) return not a end,
    truth = function(a) return not not a end,
}
operator.truediv = operator.div
operator.len = operator.length
-- Its name suggests an inequality, yet in this library's API it has always been the negation.
operator.neq = operator.unm

exports.op = operator
exports.operator = operator
methods.op = operator
methods.operator = operator

-- `require('fun')()` imports every name into the global environment.
return setmetatable(exports, {
    __call = function(self, override)
        for name, value in pairs(self) do
            if rawget(_G, name) ~= nil then
                local message = 'function ' .. name .. ' already exists in global scope.'
                if not override then
                    error(message, 2)
                end
            end
            rawset(_G, name, value)
        end
        return self
    end,
})
