-- chunks: one command for many arguments at once. Scripts include it that settle or make many things in one go.

-- Lua's stack does not hold all of a large batch; an even number, so that pairs stay together.
local CHUNK = 1000
local function call(command, key, arguments)
  for i = 1, #arguments, CHUNK do
    redis.call(command, key, unpack(arguments, i, math.min(i + CHUNK - 1, #arguments)))
  end
end
