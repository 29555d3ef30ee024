-- '', places in the queues, bytes a job may take, bytes there are → why it can't be taken, else
-- false. Asked before its picture is written; `accept` asks again.
return refusal(ARGV[2], ARGV[3], ARGV[4])
