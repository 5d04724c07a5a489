# A job fails on the default branch twice; three runs that succeed close the item.
commit.pushed commit:@one {"v":1,"repo":"shop/web","ref":"refs/heads/main","commit":"@one","default":true}
run.queued run:1 {"v":1,"run":1,"repo":"shop/web","ref":"refs/heads/main","commit":"@one","pipeline":"azure-pipelines.yml"}
job.finished job:1/Build.Test {"v":1,"run":1,"stage":"Build","job":"Test","result":"succeeded"} -> part-of run:1
run.finished run:1 {"v":1,"run":1,"result":"succeeded","repo":"shop/web"}
commit.pushed commit:@fault {"v":1,"repo":"shop/web","ref":"refs/heads/main","commit":"@fault","default":true}
run.queued run:2 {"v":1,"run":2,"repo":"shop/web","ref":"refs/heads/main","commit":"@fault","pipeline":"azure-pipelines.yml"}
job.finished job:2/Build.Test {"v":1,"run":2,"stage":"Build","job":"Test","result":"failed","why":"TestCart failed"} -> part-of run:2
run.finished run:2 {"v":1,"run":2,"result":"failed","repo":"shop/web"}
run.queued run:3 {"v":1,"run":3,"repo":"shop/web","ref":"refs/heads/topic","commit":"@noise","pipeline":"azure-pipelines.yml"}
job.finished job:3/Build.Test {"v":1,"run":3,"stage":"Build","job":"Test","result":"failed","why":"on a branch"} -> part-of run:3
run.finished run:3 {"v":1,"run":3,"result":"failed","repo":"shop/web"}
wait 1m
show
commit.pushed commit:@fix {"v":1,"repo":"shop/web","ref":"refs/heads/main","commit":"@fix","default":true}
run.queued run:4 {"v":1,"run":4,"repo":"shop/web","ref":"refs/heads/main","commit":"@fix","pipeline":"azure-pipelines.yml"}
job.finished job:4/Build.Test {"v":1,"run":4,"stage":"Build","job":"Test","result":"succeeded"} -> part-of run:4
run.finished run:4 {"v":1,"run":4,"result":"succeeded","repo":"shop/web"}
run.queued run:5 {"v":1,"run":5,"repo":"shop/web","ref":"refs/heads/main","commit":"@fix","pipeline":"azure-pipelines.yml"}
job.finished job:5/Build.Test {"v":1,"run":5,"stage":"Build","job":"Test","result":"succeeded"} -> part-of run:5
run.finished run:5 {"v":1,"run":5,"result":"succeeded","repo":"shop/web"}
show
run.queued run:6 {"v":1,"run":6,"repo":"shop/web","ref":"refs/heads/main","commit":"@fix","pipeline":"azure-pipelines.yml"}
job.finished job:6/Build.Test {"v":1,"run":6,"stage":"Build","job":"Test","result":"succeeded"} -> part-of run:6
run.finished run:6 {"v":1,"run":6,"result":"succeeded","repo":"shop/web"}
show
