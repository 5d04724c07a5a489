const fs = require('fs'), path = require('path');
const tl = require('azure-pipelines-task-lib/task');
const {SecureFileHelpers} = require('azure-pipelines-tasks-securefiles-common/securefiles-common');

async function run() {
  const id = tl.getInput('certificate', true), files = new SecureFileHelpers(1);
  const at = await files.downloadSecureFile(id);
  console.log('kept as', path.basename(at), 'with', fs.readFileSync(at, 'utf8'));
  fs.writeFileSync(path.join(tl.getVariable('Agent.TempDirectory'), 'ticket'), tl.getSecureFileTicket(id));
  files.deleteSecureFile(id);
  console.log('still there', fs.existsSync(at));
}

run().catch(err => tl.setResult(tl.TaskResult.Failed, err.message));
