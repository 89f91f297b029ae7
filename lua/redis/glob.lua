-- glob: the patterns of KEYS, SCAN and CONFIG GET: `*`, `?`, `[a-z]`, `[^x]` and `\` before a
-- character that stands for itself, with Redis's treatment of patterns that are cut short.

local M = {}

local byte = string.byte
local STAR, ANY, OPEN, CLOSE, ESCAPE, NOT, TO = byte('*?[]\\^-', 1, 7)

-- Matches one character against the set that starts behind `[`: whether it is in, and where the
-- pattern goes on. Without a `]` the set ends with the pattern.
local function in_set(pattern, at, last, char)
    local negated = byte(pattern, at) == NOT
    if negated then
        at = at + 1
    end
    local match = false
    while true do
        local first = byte(pattern, at)
        if at > last then
            at = at - 1
            break
        elseif first == ESCAPE and at < last then
            at = at + 1
            match = match or byte(pattern, at) == char
        elseif first == CLOSE then
            break
        elseif at + 2 <= last and byte(pattern, at + 1) == TO then
            local low, high = first, byte(pattern, at + 2)
            if low > high then
                low, high = high, low
            end
            at = at + 2
            match = match or (char >= low and char <= high)
        else
            match = match or first == char
        end
        at = at + 1
    end
    return match ~= negated, at + 1
end

-- Whether text[i..] matches pattern[p..]; and whether no longer rest of the text can match
-- either, so that an outer star need not go on.
local function match_from(pattern, p, text, i)
    local last, size = #pattern, #text
    while p <= last and i <= size do
        local char = byte(pattern, p)
        if char == STAR then
            while byte(pattern, p + 1) == STAR do
                p = p + 1
            end
            if p == last then
                return true, false
            end
            while i <= size do
                local match, give_up = match_from(pattern, p + 1, text, i)
                if match or give_up then
                    return match, give_up
                end
                i = i + 1
            end
            return false, true
        elseif char == ANY then
            p = p + 1
        elseif char == OPEN then
            local match
            match, p = in_set(pattern, p + 1, last, byte(text, i))
            if not match then
                return false, false
            end
        else
            if char == ESCAPE and p < last then
                p = p + 1
                char = byte(pattern, p)
            end
            if char ~= byte(text, i) then
                return false, false
            end
            p = p + 1
        end
        i = i + 1
        if i > size then
            while byte(pattern, p) == STAR do
                p = p + 1
            end
        end
    end
    return p > last and i > size, false
end

-- Whether the whole text matches.
function M.match(pattern, text)
    return (match_from(pattern, 1, text, 1))
end

-- Whether it is more than one plain word.
function M.is_pattern(pattern)
    return pattern:find('[*?%[\\]') ~= nil
end

return M
