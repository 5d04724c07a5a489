console.log(`post of ${process.env.INPUT_TARGET}: ${process.env.VSTS_TASKVARIABLE_SHARED_WORD}, status ${process.env['agent.jobstatus']} ${process.env.AGENT_JOBSTATUS}`);
