-- merge: one line of a digest out of two of the same object, for `collapse = "net"`. Pure: no call of Redis.
-- A line is the JSON array of `Line.encode`; these are the places of its elements.

local ACTION, TITLE, FIELDS, MORE, CUT, MAYBE, HIDDEN = 2, 6, 9, 10, 11, 12, 16
-- Fields that one object shows; more are counted.
local MOST_FIELDS = 40

-- Everything is as the later line says, but for the fields: of each the first old value and the last new one stay.
local function merged(earlier, later)
  local before, after = cjson.decode(earlier), cjson.decode(later)
  local fields, place, more = {}, {}, before[MORE] + after[MORE]
  for _, field in ipairs(before[FIELDS]) do
    fields[#fields + 1] = field
    place[field[1]] = #fields
  end
  for _, field in ipairs(after[FIELDS]) do
    if place[field[1]] then
      fields[place[field[1]]][3] = field[3]
    elseif #fields < MOST_FIELDS then
      fields[#fields + 1] = field
      place[field[1]] = #fields
    else
      more = more + 1
    end
  end
  after[FIELDS], after[MORE] = fields, more
  after[CUT], after[MAYBE] = math.max(before[CUT], after[CUT]), math.max(before[MAYBE], after[MAYBE])
  -- A line of an older version ends before this one.
  after[HIDDEN] = math.max(before[HIDDEN] or 0, after[HIDDEN] or 0)
  if after[TITLE] == '' then after[TITLE] = before[TITLE] end
  return cjson.encode(after)
end
