const tl = require('azure-pipelines-task-lib/task');
tl.setTaskVariable('started', 'before the job');
tl.setTaskVariable('ticket', 'ticket-of-the-task', true);
tl.setResult(tl.TaskResult.Succeeded, 'prepared');
