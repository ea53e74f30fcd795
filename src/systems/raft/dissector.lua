-- A dissector for the Raft messages of stormglass, as src/raft/codec.rs writes them. Load it with
-- `wireshark -X lua_script:run.lua run.pcapng`, or put it into Wireshark's folder of personal plugins.

local raft = Proto("sgraft", "Raft (stormglass)")

local HEADER_BYTES, TAG_BYTES = 31, 32
local unpack = table.unpack or unpack

local f = {
  version = ProtoField.uint8("sgraft.version", "Version"),
  signed = ProtoField.bool("sgraft.signed", "Signed with the cluster's key"),
  cluster = ProtoField.uint64("sgraft.cluster", "Cluster", base.HEX),
  from = ProtoField.uint64("sgraft.from", "From"),
  to = ProtoField.uint64("sgraft.to", "To"),
  message = ProtoField.string("sgraft.message", "Message"),
  term = ProtoField.uint64("sgraft.term", "term"),
  request_term = ProtoField.uint64("sgraft.request_term", "request_term"),
  last_log_index = ProtoField.uint64("sgraft.last_log_index", "last_log_index"),
  last_log_term = ProtoField.uint64("sgraft.last_log_term", "last_log_term"),
  prev_log_index = ProtoField.uint64("sgraft.prev_log_index", "prev_log_index"),
  prev_log_term = ProtoField.uint64("sgraft.prev_log_term", "prev_log_term"),
  leader_commit = ProtoField.uint64("sgraft.leader_commit", "leader_commit"),
  match_index = ProtoField.uint64("sgraft.match_index", "match_index"),
  entries = ProtoField.uint32("sgraft.entries", "entries"),
  round = ProtoField.uint64("sgraft.round", "round"),
  rejected = ProtoField.uint64("sgraft.rejected", "rejected"),
  conflict_term = ProtoField.uint64("sgraft.conflict_term", "conflict_term"),
  conflict_first_index = ProtoField.uint64("sgraft.conflict_first_index", "conflict_first_index"),
  has_conflict = ProtoField.bool("sgraft.has_conflict", "has_conflict"),
  entry_term = ProtoField.uint64("sgraft.entry_term", "entry_term"),
  entry = ProtoField.bytes("sgraft.entry", "entry"),
  number = ProtoField.uint64("sgraft.number", "number"),
  part_id = ProtoField.uint64("sgraft.part_id", "part_id", base.HEX),
  part = ProtoField.uint32("sgraft.part", "part"),
  parts = ProtoField.uint32("sgraft.parts", "parts"),
  body = ProtoField.bytes("sgraft.body", "body"),
  transfer = ProtoField.bool("sgraft.transfer", "transfer"),
  vote_granted = ProtoField.bool("sgraft.vote_granted", "vote_granted"),
  success = ProtoField.bool("sgraft.success", "success"),
  tag = ProtoField.bytes("sgraft.tag", "Tag"),
}
raft.fields = f
local malformed = ProtoExpert.new("sgraft.malformed", "It is no whole message", expert.group.MALFORMED, expert.severity.ERROR)
raft.experts = { malformed }

-- The fields of each kind, in their order on the wire; where another is given, they are shown in that.
local KINDS = {
  [1] = { "PreVote", { "term", "last_log_index", "last_log_term" } },
  [2] = { "PreVoteResponse", { "term", "request_term", "vote_granted" } },
  [3] = { "RequestVote", { "term", "last_log_index", "last_log_term", "transfer" } },
  [4] = { "RequestVoteResponse", { "term", "vote_granted" } },
  [5] = { "AppendEntries", { "term", "prev_log_index", "prev_log_term", "leader_commit", "entries" },
    { "term", "prev_log_index", "prev_log_term", "entries", "leader_commit" } },
  [6] = { "AppendEntriesResponse", { "term", "match_index", "success" }, { "term", "success", "match_index" } },
  [7] = { "TimeoutNow", { "term" } },
  [8] = { "AppendEntries", { "term", "prev_log_index", "prev_log_term", "leader_commit", "round", "entries" },
    { "term", "prev_log_index", "prev_log_term", "entries", "leader_commit", "round" } },
  [9] = { "AppendEntriesResponse",
    { "term", "match_index", "round", "success", "has_conflict", "rejected", "conflict_term", "conflict_first_index" },
    { "term", "success", "match_index", "round", "rejected", "conflict_term", "conflict_first_index" } },
  [32] = { "Request", { "number" } },
  [33] = { "Response", { "number" } },
  [34] = { "Part", { "part_id", "part", "parts" } },
  [35] = { "PartsWanted", { "part_id" } },
}
local BYTES = { transfer = 1, vote_granted = 1, success = 1, entries = 4, has_conflict = 1, part = 4, parts = 4 }

local function is_ours(buffer)
  return buffer:len() >= HEADER_BYTES + TAG_BYTES and buffer(0, 4):string() == "SGRF" and KINDS[buffer(30, 1):uint()] ~= nil
end

local function take(buffer, at, name, subtree)
  local bytes = BYTES[name] or 8
  local range = buffer(at, bytes)
  subtree:add_le(f[name], range)
  if bytes == 1 then return bytes, tostring(range:uint() == 1) end
  if bytes == 4 then return bytes, tostring(range:le_uint()) end
  return bytes, tostring(range:le_uint64())
end

function raft.dissector(buffer, pinfo, tree)
  if not is_ours(buffer) then return 0 end
  local subtree = tree:add(raft, buffer())
  subtree:add(f.version, buffer(4, 1))
  subtree:add(f.signed, buffer(5, 1))
  subtree:add_le(f.cluster, buffer(6, 8))
  subtree:add_le(f.from, buffer(14, 8))
  subtree:add_le(f.to, buffer(22, 8))
  local name, fields, shown = unpack(KINDS[buffer(30, 1):uint()])
  subtree:add(f.message, buffer(30, 1), name)
  local values, info, at, last = {}, name, HEADER_BYTES, buffer:len() - TAG_BYTES
  for _, field in ipairs(fields) do
    if values.has_conflict == "false" then break end
    if at + (BYTES[field] or 8) > last then
      subtree:add_proto_expert_info(malformed)
      break
    end
    local bytes, value = take(buffer, at, field, subtree)
    values[field] = value
    at = at + bytes
  end
  -- Whether there is a conflict is said before what it is.
  local count = tonumber(values.entries or "0")
  for _ = 1, count do
    if at + 13 > last then break end
    local length = buffer(at + 9, 4):le_uint()
    subtree:add_le(f.entry_term, buffer(at, 8))
    at = at + 13
    if length > 0 and at + length <= last then subtree:add(f.entry, buffer(at, length)) end
    at = at + length
  end
  if at < last then subtree:add(f.body, buffer(at, last - at)) end
  for _, field in ipairs(shown or fields) do
    if values[field] then info = info .. " " .. field .. "=" .. values[field] end
  end
  subtree:add(f.tag, buffer(last, TAG_BYTES))
  subtree:append_text(", " .. info)
  pinfo.cols.protocol = "RAFT"
  pinfo.cols.info = info
  return buffer:len()
end

local function heuristic(buffer, pinfo, tree)
  if not is_ours(buffer) then return false end
  raft.dissector(buffer, pinfo, tree)
  return true
end

raft:register_heuristic("udp", heuristic)
