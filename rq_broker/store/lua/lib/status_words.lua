--- How a refusal tells the status of a job; domain/status_words.py has the same.

-- Returns what a job with a status is: `running`, `in error`.
local function status_words(status)
  if status == 'beside' then
    return 'queued'
  end
  return status == 'error' and 'in error' or status
end
