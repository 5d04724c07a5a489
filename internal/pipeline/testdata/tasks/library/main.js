const fs = require('fs'), path = require('path');
const tl = require('azure-pipelines-task-lib/task');

async function run() {
  tl.setResourcePath(path.join(__dirname, 'task.json'), true);
  const name = tl.getInput('name', true), file = tl.getPathInput('file', true, true);
  console.log('inputs', JSON.stringify([name, tl.getBoolInput('loud'), path.basename(file), tl.filePathSupplied('file'), tl.filePathSupplied('nothing'), tl.getDelimitedInput('list', '\n')]));
  const id = tl.getInput('hub', true), auth = tl.getEndpointAuthorization(id, false);
  console.log('endpoint', tl.getEndpointUrl(id, false), tl.getEndpointAuthorizationScheme(id, false), auth.parameters.username, auth.parameters.password.length, tl.getEndpointAuthorizationParameter(id, 'password', false).length);
  console.log('environment', Object.keys(process.env).filter(k => /^(INPUT|SECRET|ENDPOINT_AUTH)_/.test(k)).length);
  console.log('variables', tl.getVariable('my.token').length, tl.getVariable('plain.word'), tl.getVariables().filter(v => v.secret && v.name === 'my.token').length);
  console.log('task variables', tl.getTaskVariable('started'), tl.getTaskVariable('ticket').length);
  tl.assertAgent('2.144.0');
  tl.setVariable('plainOut', 'plain value');
  tl.setVariable('outcome', 'output of ' + name, false, true);
  tl.setVariable('hiddenOut', 'secret-of-the-task', true);
  const node = tl.tool(tl.which('node', true)).arg(['-e', 'console.log("ran a tool", process.env.MY_TOKEN === undefined); process.exit(3)']);
  console.log('exit code', await node.execAsync({ignoreReturnCode: true}));
  const found = tl.findMatch(tl.getVariable('System.DefaultWorkingDirectory'), ['**/*.txt', '!**/skip*']);
  console.log('found', JSON.stringify(found.map(f => path.basename(f)).sort()), tl.match(['a.js', 'b.ts'], '*.ts').join());
  const summary = path.join(tl.getVariable('Agent.TempDirectory'), 'summary.md');
  fs.writeFileSync(summary, '# From the library\n');
  tl.uploadSummary(summary);
  tl.addAttachment('acme.report', 'report', summary);
  tl.warning('look out');
  tl.prependPath(path.join(tl.getVariable('Agent.TempDirectory'), 'bin'));
  if (name === 'fails') {
    throw new Error('the task was asked to fail with secret-of-the-task');
  }
  tl.setResult(tl.TaskResult.SucceededWithIssues, 'done with issues');
}

run().catch(err => tl.setResult(tl.TaskResult.Failed, err.message));
