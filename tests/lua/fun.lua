-- Claims about lazy iterators.
local tap = require('tap')
local fun = require('fun')

local test = tap.test('fun')
test:plan(8)

test:test('sources', function(t)
    t:plan(8)
    t:is_deeply(fun.iter({1, 2, 3}):totable(), {1, 2, 3}, 'an array')
    t:is_deeply(fun.iter({a = 1, b = 2}):tomap(), {a = 1, b = 2}, 'a map')
    t:is_deeply(fun.iter('abc'):totable(), {'a', 'b', 'c'}, 'a string')
    t:is_deeply(fun.iter(ipairs({5, 6})):totable(), {5, 6}, 'a triplet')
    t:is_deeply(fun.range(3):totable(), {1, 2, 3}, 'a range up')
    t:is_deeply(fun.range(-1, -5, -2):totable(), {-1, -3, -5}, 'a range down')
    t:is_deeply(fun.range(0):totable(), {}, 'an empty range')
    local ok, problem = pcall(fun.iter, 5)
    t:is_deeply({ok, problem}, {false, 'object 5 of type "number" is not iterable'}, 'not a number')
end)

test:test('generators', function(t)
    t:plan(5)
    t:is_deeply(fun.duplicate(7):take(2):totable(), {7, 7}, 'duplicate')
    t:is_deeply(fun.tabulate(function(x) return x * x end):take(4):totable(), {0, 1, 4, 9},
                'tabulate')
    t:is(fun.zeros():take(3):sum() + fun.ones():take(3):sum(), 3, 'zeros and ones')
    t:ok(fun.rands(5, 7):take(50):all(function(x) return x == 5 or x == 6 end), 'rands')
    t:is_deeply(fun.cycle({1, 2}):take(5):totable(), {1, 2, 1, 2, 1}, 'cycle')
end)

test:test('slices', function(t)
    t:plan(8)
    t:is(fun.iter({5, 6, 7}):nth(2), 6, 'nth')
    t:is(fun.iter('abc'):nth(4), nil, 'nth beyond the end')
    t:is_deeply(fun.range(5):take_while(function(x) return x < 3 end):totable(), {1, 2},
                'take_while')
    t:is_deeply(fun.range(5):drop_while(function(x) return x < 3 end):totable(), {3, 4, 5},
                'drop_while')
    t:is_deeply(fun.range(5):drop(3):totable(), {4, 5}, 'drop')
    local left, right = fun.range(4):split(1)
    t:is_deeply({left:totable(), right:totable()}, {{1}, {2, 3, 4}}, 'split')
    t:is(fun.range(3):head(), 1, 'head')
    t:is_deeply({pcall(fun.head, {})}, {false, 'head: iterator is empty'}, 'head of nothing')
end)

test:test('filters', function(t)
    t:plan(4)
    local function is_even(x)
        return x % 2 == 0
    end
    t:is_deeply(fun.range(6):filter(is_even):totable(), {2, 4, 6}, 'filter')
    t:is_deeply(fun.iter({a = 1, b = 2}):filter(function(_, v) return v == 2 end):tomap(),
                {b = 2}, 'filter of pairs')
    t:is_deeply(fun.grep('^b', {'ab', 'ba', 'bb'}):totable(), {'ba', 'bb'}, 'grep')
    local even, odd = fun.range(4):partition(is_even)
    t:is_deeply({even:totable(), odd:totable()}, {{2, 4}, {1, 3}}, 'partition')
end)

test:test('reductions', function(t)
    t:plan(11)
    t:is(fun.foldl(function(acc, x) return acc .. x end, '', {'a', 'b'}), 'ab', 'foldl')
    t:is(fun.length({1, 2, 3}), 3, 'length')
    t:is(fun.range(10):filter(function(x) return x > 8 end):length(), 2, 'length of a pipeline')
    t:is(fun.sum({1, 2, 3}), 6, 'sum')
    t:is(fun.product({2, 3}), 6, 'product')
    t:is(fun.min({3, 1, 2}) + fun.max({3, 1, 2}), 4, 'min and max')
    t:is(fun.min_by(function(a, b) return #a < #b and a or b end, {'aa', 'b'}), 'b', 'min_by')
    t:ok(fun.all(function(x) return x > 0 end, {1, 2}), 'all')
    t:ok(not fun.any(function(x) return x > 2 end, {1, 2}), 'any')
    t:ok(fun.is_prefix_of({1}, {1, 2}), 'is_prefix_of')
    t:ok(fun.is_null({}), 'is_null')
end)

test:test('indexes', function(t)
    t:plan(2)
    t:is(fun.index('b', {'a', 'b'}), 2, 'index')
    t:is_deeply(fun.indexes('a', {'a', 'b', 'a'}):totable(), {1, 3}, 'indexes')
end)

test:test('compositions', function(t)
    t:plan(5)
    t:is_deeply(fun.zip({1, 2}, {3, 4}):map(function(a, b) return a * b end):totable(), {3, 8},
                'zip')
    t:is_deeply(fun.zip({1}, 'a', fun.range(5)):map(function(...) return {...} end):totable(),
                {{1, 'a', 1}}, 'zip of three')
    t:is_deeply(fun.chain({1, 2}, 'a'):totable(), {1, 2, 'a'}, 'chain')
    t:is_deeply(fun.enumerate({'a', 'b'}):map(function(i, x) return i .. x end):totable(),
                {'1a', '2b'}, 'enumerate')
    t:is_deeply(fun.intersperse(0, {1, 2}):totable(), {1, 0, 2, 0}, 'intersperse')
end)

test:test('operators', function(t)
    t:plan(3)
    t:is(fun.op.intdiv(-7, 2), -3, 'intdiv rounds towards zero')
    t:is(fun.op.floordiv(-7, 2), -4, 'floordiv rounds down')
    t:is(fun.reduce(fun.op.add, 0, fun.range(100)), 5050, 'as reducers')
end)

os.exit(test:check())
