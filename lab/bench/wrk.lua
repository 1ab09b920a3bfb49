-- Posts with the next of many access tokens each time, and writes what happened as one line of JSON.
-- Arguments: file of tokens (one a line), path, body.
local requests, count, position = {}, 0, 0

function init(arguments)
  local headers = { ["Content-Type"] = "application/json" }
  for token in io.lines(arguments[1]) do
    headers["Authorization"] = "Bearer " .. token
    count = count + 1
    requests[count] = wrk.format("POST", arguments[2], headers, arguments[3])
  end
end

function request()
  position = position % count + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"bad_status":%d,"broken":%d,"p50":%.6f,"p99":%.6f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
