-- id → the status now, as by `move`, false where there is no such job. Idempotent, whoever else moves it.
local status = get('status')
if status == 'queued' then return move('canceled') end
if status == 'running' then return move('canceling') end
return status
