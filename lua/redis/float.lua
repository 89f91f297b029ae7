-- float: INCRBYFLOAT's arithmetic: that of the x87 `long double`, in which Redis adds.
--
-- Redis reads with strtold, adds, and prints with `%.17Lf` without the zeros at the end. LuaJIT
-- has no long double and a double prints 10.5 + 0.1 as 10.59999999999999964, so its 64-bit
-- significand is done here with whole numbers of any size: a value is sign, digits and a power
-- of two. This is slow and correct; a counter of fractions is not a hot path.

local M = {}

-- Whole numbers of any size: lists of digits to the base 2^24, lowest first.
local BASE = 16777216

local function trim(a)
    local n = #a
    while n > 0 and a[n] == 0 do
        a[n] = nil
        n = n - 1
    end
    return a
end

-- a * factor + plus, for small numbers.
local function mul_small(a, factor, plus)
    local result, carry = {}, plus
    for i = 1, #a do
        local value = a[i] * factor + carry
        result[i] = value % BASE
        carry = math.floor(value / BASE)
    end
    while carry > 0 do
        table.insert(result, carry % BASE)
        carry = math.floor(carry / BASE)
    end
    return result
end

-- a / divisor for a small divisor: quotient and remainder.
local function div_small(a, divisor)
    local result, rest = {}, 0
    for i = #a, 1, -1 do
        local value = rest * BASE + a[i]
        result[i] = math.floor(value / divisor)
        rest = value % divisor
    end
    return trim(result), rest
end

local function compare(a, b)
    if #a ~= #b then
        return #a < #b and -1 or 1
    end
    for i = #a, 1, -1 do
        if a[i] ~= b[i] then
            return a[i] < b[i] and -1 or 1
        end
    end
    return 0
end

local function add(a, b)
    local result, carry = {}, 0
    for i = 1, math.max(#a, #b) do
        local value = (a[i] or 0) + (b[i] or 0) + carry
        result[i] = value % BASE
        carry = value >= BASE and 1 or 0
    end
    if carry > 0 then
        table.insert(result, carry)
    end
    return result
end

-- a - b, for a >= b.
local function subtract(a, b)
    local result, borrow = {}, 0
    for i = 1, #a do
        local value = a[i] - (b[i] or 0) - borrow
        borrow = value < 0 and 1 or 0
        result[i] = value + borrow * BASE
    end
    return trim(result)
end

-- a * 2^count.
local function shift_left(a, count)
    if #a == 0 then
        return a
    end
    local result = {}
    local words = math.floor(count / 24)
    for i = 1, words do
        result[i] = 0
    end
    for _, digit in ipairs(mul_small(a, 2 ^ (count % 24), 0)) do
        table.insert(result, digit)
    end
    return result
end

local function bit_count(a)
    if #a == 0 then
        return 0
    end
    local top, bits = a[#a], 0
    while top > 0 do
        top = math.floor(top / 2)
        bits = bits + 1
    end
    return (#a - 1) * 24 + bits
end

-- floor(a / 2^count), and how the rest compares with a half: -2 nothing, -1 less, 0 half, 1 more.
local function shift_right(a, count)
    local words, bits = math.floor(count / 24), count % 24
    local result = {}
    local divisor = 2 ^ bits
    for i = words + 1, #a do
        local high = (a[i + 1] or 0) % divisor
        table.insert(result, math.floor(a[i] / divisor) + high * (BASE / divisor))
    end
    trim(result)
    local rest = subtract(a, shift_left(result, count))
    if #rest == 0 then
        return result, -2
    end
    return result, compare(rest, shift_left({1}, count - 1))
end

-- digits * 2^exponent with a significand of 64 bits, ties to even. `sticky`: the true value is a
-- little larger than the digits say.
local function round(digits, exponent, sticky)
    local count = bit_count(digits) - 64
    if count <= 0 then
        return digits, exponent
    end
    local result, rest = shift_right(digits, count)
    if rest == 1 or (rest == 0 and (sticky or result[1] % 2 == 1)) then
        result = add(result, {1})
    end
    return result, exponent + count
end

-- numerator / denominator * 2^exponent, rounded: long division by bits.
local function divide(numerator, denominator)
    -- The quotient gets at least 66 bits, so that what is left is only sticky.
    local scale = math.max(0, 66 - (bit_count(numerator) - bit_count(denominator)))
    local left = shift_left(numerator, scale)
    local quotient = {}
    local rest = {}
    for i = bit_count(left) - 1, 0, -1 do
        local word = left[math.floor(i / 24) + 1]
        local bit = math.floor(word / 2 ^ (i % 24)) % 2
        rest = mul_small(rest, 2, bit)
        local one = 0
        if compare(rest, denominator) >= 0 then
            rest = subtract(rest, denominator)
            one = 1
        end
        quotient = mul_small(quotient, 2, one)
    end
    return round(quotient, -scale, #rest > 0)
end

local function power_of_ten(count)
    local result = {1}
    for _ = 1, count do
        result = mul_small(result, 10, 0)
    end
    return result
end

-- The value of `0x1.8p3`, nil if it is none.
local function parse_hex(text)
    local sign, whole, point, fraction, exponent =
        text:match('^([-+]?)0x(%x*)(%.?)(%x*)p?([-+]?%d*)$')
    if whole == nil or #whole + #fraction == 0 or (point == '' and fraction ~= '')
       or (text:find('p') ~= nil) ~= (exponent:find('%d') ~= nil) then
        return nil
    end
    local digits = {}
    for digit in (whole .. fraction):gmatch('%x') do
        digits = mul_small(digits, 16, tonumber(digit, 16))
    end
    local power = tonumber(exponent) or 0
    if #digits > 0 and math.abs(power) > 16384 then
        return power > 0 and 'infinite' or {negative = false, digits = {}, exponent = 0}
    end
    local value = {negative = sign == '-'}
    value.digits, value.exponent = round(digits, power - 4 * #fraction, false)
    return value
end

-- The value of a text; nil if it is none, 'infinite' if it is. Redis refuses spaces.
function M.parse(text)
    local lower = text:lower()
    if lower:find('^[-+]?inf$') or lower:find('^[-+]?infinity$') then
        return 'infinite'
    end
    if lower:find('^[-+]?0x') then
        return parse_hex(lower)
    end
    local sign, whole, fraction, exponent =
        lower:match('^([-+]?)(%d*)%.?(%d*)e?([-+]?%d*)$')
    if whole == nil or #whole + #fraction == 0 or #text > 255
       or (lower:find('e') and not exponent:find('%d'))
       or (not lower:find('e') and exponent ~= '')
       or (fraction ~= '' and not lower:find('.', 1, true)) then
        return nil
    end
    local power = (tonumber(exponent) or 0) - #fraction
    local digits = {}
    for digit in (whole .. fraction):gmatch('%d') do
        digits = mul_small(digits, 10, tonumber(digit))
    end
    local value = {negative = sign == '-', digits = digits, exponent = 0}
    if #digits == 0 then
        return value
    elseif power > 4950 then
        return 'infinite'
    elseif power < -5300 then
        value.digits = {}
        return value
    end
    if power >= 0 then
        for _ = 1, power do
            digits = mul_small(digits, 10, 0)
        end
        value.digits, value.exponent = round(digits, 0, false)
    else
        value.digits, value.exponent = divide(digits, power_of_ten(-power))
    end
    return value
end

-- a + b in the precision of a long double.
function M.add(a, b)
    local exponent = math.min(a.exponent, b.exponent)
    local left = shift_left(a.digits, a.exponent - exponent)
    local right = shift_left(b.digits, b.exponent - exponent)
    local result = {}
    if a.negative == b.negative then
        result.digits, result.negative = add(left, right), a.negative
    elseif compare(left, right) >= 0 then
        result.digits, result.negative = subtract(left, right), a.negative
    else
        result.digits, result.negative = subtract(right, left), b.negative
    end
    result.digits, result.exponent = round(result.digits, exponent, false)
    return result
end

local function decimal(digits)
    local parts = {}
    while #digits > 0 do
        local rest
        digits, rest = div_small(digits, 10000000)
        table.insert(parts, 1, ('%07d'):format(rest))
    end
    local text = table.concat(parts):gsub('^0+', '')
    return text == '' and '0' or text
end

-- `%.17Lf` without zeros at the end, and without the sign of a zero.
function M.text(value)
    local digits, exponent = value.digits, value.exponent
    for _ = 1, 17 do
        digits = mul_small(digits, 10, 0)
    end
    if exponent >= 0 then
        digits = shift_left(digits, exponent)
    else
        local rest
        digits, rest = shift_right(digits, -exponent)
        if rest == 1 or (rest == 0 and (digits[1] or 0) % 2 == 1) then
            digits = add(digits, {1})
        end
    end
    local text = decimal(digits)
    text = ('0'):rep(18 - #text) .. text
    text = text:sub(1, -18) .. '.' .. text:sub(-17)
    text = text:gsub('0+$', ''):gsub('%.$', '')
    return (value.negative and text ~= '0') and '-' .. text or text
end

return M
