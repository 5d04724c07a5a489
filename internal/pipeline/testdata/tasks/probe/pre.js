console.log(`pre of ${process.env.INPUT_TARGET} as "${process.env.TASK_DISPLAYNAME}"`);
console.log(`##vso[task.settaskvariable variable=shared.word]from the pre stage of ${process.env.INPUT_TARGET}`);
console.log('##vso[task.settaskvariable variable=hidden;issecret=true]task-secret-word');
