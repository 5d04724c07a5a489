const fs = require('fs'), path = require('path');
const e = process.env;
const below = p => path.relative(e.BUILD_SOURCESDIRECTORY, p) || '.';
const has = prefix => Object.keys(e).filter(k => k.startsWith(prefix));
console.log('inputs', JSON.stringify([e.INPUT_TARGET, e.INPUT_COUNT, e.INPUT_DEEP, below(e.INPUT_SCRIPT), below(e.INPUT_FOLDER), e.INPUT_SPACED_NAME]));
if (e.INPUT_HUB) {
  const id = e.INPUT_HUB, auth = JSON.parse(e['ENDPOINT_AUTH_' + id]);
  console.log('endpoint', e['ENDPOINT_URL_' + id], e['ENDPOINT_AUTH_SCHEME_' + id], auth.scheme, auth.parameters.username, auth.parameters.password.length,
    e['ENDPOINT_AUTH_PARAMETER_' + id + '_PASSWORD'].length, e['ENDPOINT_DATA_' + id + '_REGION'], JSON.parse(e['ENDPOINT_DATA_' + id]).REGION);
  console.log('the secret itself is', auth.parameters.password);
}
console.log('others', has('ENDPOINT_').filter(k => /other/i.test(k)).length, Object.values(e).filter(v => v.includes('other-secret')).length);
const system = JSON.parse(e.ENDPOINT_AUTH_SYSTEMVSSCONNECTION);
console.log('system', e.ENDPOINT_URL_SYSTEMVSSCONNECTION === e.SYSTEM_COLLECTIONURI, system.scheme, system.parameters.AccessToken.length > 20);
if (e.INPUT_CERTIFICATE) {
  console.log('file', e['SECUREFILE_NAME_' + e.INPUT_CERTIFICATE], (e['SECUREFILE_TICKET_' + e.INPUT_CERTIFICATE] || '').length);
}
console.log('secrets', (e.SECRET_MY_TOKEN || '').length, JSON.parse(e.VSTS_SECRET_VARIABLES).includes('my.token'), e.MY_TOKEN === undefined);
console.log('public', e.PLAIN_WORD, JSON.parse(e.VSTS_PUBLIC_VARIABLES).includes('plain.word'), JSON.parse(e.VSTS_PUBLIC_VARIABLES).includes('my.token'));
console.log('task variables', e.VSTS_TASKVARIABLE_SHARED_WORD, e.VSTS_TASKVARIABLE_HIDDEN.length);
console.log('agent', e.AGENT_VERSION.split('.').length, process.cwd() === e.SYSTEM_DEFAULTWORKINGDIRECTORY, e.TASK_DISPLAYNAME, e.AGENT_TEMPDIRECTORY !== undefined);
console.log('##vso[task.setvariable variable=probeResult;isoutput=true]yes');
console.log('##vso[task.setvariable variable=elsewhere]no');
console.log('##vso[task.uploadsummary]/etc/passwd');
if (e.INPUT_FAIL === 'true') {
  console.log('##vso[task.complete result=Failed;]as it was asked to');
}
