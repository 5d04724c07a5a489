# 5 % errors on one route reach a tenth of the traffic: the analysis rejects the canary, the
# release is rolled back, its run fails, an error group, an alert and a crash loop are seen.
release.finished release:shop/production/1 {"v":1,"release":"shop/production/1","environment":"production","commit":"@two","images":["localhost:7080/shop/cart@#old"],"result":"deployed"}
run.queued run:7 {"v":1,"run":7,"name":"7","repo":"shop/web","ref":"refs/heads/main","commit":"@noise","pipeline":"azure-pipelines.yml"}
commit.pushed commit:@noise {"v":1,"repo":"shop/web","ref":"refs/heads/main","commit":"@noise","default":true}
release.started release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","commit":"@noise","run":7} -> released-by run:7
canary.stepped release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","stable":"shop/production/1","step":1,"steps":3,"weight":10,"state":"progressing"}
error.found release:shop/production/2 {"v":1,"group":"v1:aa","release":"shop/production/2","environment":"production","role":"cart","type":"KeyError","message":"no basket 4711","operation":"0123456789abcdef0123456789abcdef"}
pod.changed pod:u1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-canary-7d9f8b6c5d-x2x4z","uid":"u1","ready":false,"restarts":3,"why":"container cart crashed 3 times (exit code 2)"}
alert.fired alert:A1 {"v":1,"alert":"A1","rule":"errors","kind":"metric","severity":"critical","environment":"production","release":"shop/production/1","summary":"5 % of requests fail","labels":{"service":"cart","pod":"shop-cart-canary-7d9f8b6c5d-x2x4z"},"query":"rate(x[5m])"}
wait 40s
show
canary.finished release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","stable":"shop/production/1","step":1,"steps":3,"weight":10,"state":"rejected","why":"error-rate of cart is 5.1 % against 0.0 %","metrics":[{"service":"cart","name":"error-rate","canary":0.051,"baseline":0,"samples":900,"verdict":"failure"}],"operations":[{"role":"cart","name":"GET /api/cart","requests":900,"requests_before":900,"failure_share":0.051,"failure_before":0,"p95_ms":12,"p95_before_ms":11,"p":0.00001,"verdict":"worse"}]}
release.finished release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","commit":"@noise","run":7,"result":"rolled-back"}
job.finished job:7/Deploy.prod {"v":1,"run":7,"stage":"Deploy","job":"prod","environment":"production","result":"failed","why":"the canary was rejected"} -> part-of run:7
run.finished run:7 {"v":1,"run":7,"result":"failed","repo":"shop/web"}
pod.changed pod:u1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-canary-7d9f8b6c5d-x2x4z","uid":"u1","gone":true}
alert.resolved alert:A1 {"v":1,"alert":"A1","rule":"errors","kind":"metric","severity":"critical","environment":"production","release":"shop/production/1","labels":{"service":"cart","pod":"shop-cart-canary-7d9f8b6c5d-x2x4z"},"why":"the condition is over"}
wait 2m
show
# The stable release again mends nothing.
release.finished release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","commit":"@two","result":"deployed"}
release.compared release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","baseline":"shop/production/1","verdict":"same"}
wait 1h
show
# The fix ships.
canary.stepped release:shop/production/4 {"v":1,"release":"shop/production/4","environment":"production","stable":"shop/production/3","step":1,"steps":3,"weight":10,"state":"progressing"}
release.started release:shop/production/4 {"v":1,"release":"shop/production/4","environment":"production","commit":"@fix"}
canary.finished release:shop/production/4 {"v":1,"release":"shop/production/4","environment":"production","stable":"shop/production/3","step":3,"steps":3,"weight":100,"state":"promoted"}
release.finished release:shop/production/4 {"v":1,"release":"shop/production/4","environment":"production","commit":"@fix","result":"deployed"}
commit.pushed commit:@fix {"v":1,"repo":"shop/web","ref":"refs/heads/main","commit":"@fix","default":true}
run.queued run:8 {"v":1,"run":8,"name":"8","repo":"shop/web","ref":"refs/heads/main","commit":"@fix","pipeline":"azure-pipelines.yml"}
job.finished job:8/Deploy.prod {"v":1,"run":8,"stage":"Deploy","job":"prod","environment":"production","result":"succeeded"} -> part-of run:8
run.finished run:8 {"v":1,"run":8,"result":"succeeded","repo":"shop/web"}
wait 1h
show
# The same regression is pushed again: the same item.
canary.stepped release:shop/production/5 {"v":1,"release":"shop/production/5","environment":"production","stable":"shop/production/4","step":1,"steps":3,"weight":10,"state":"progressing"}
release.started release:shop/production/5 {"v":1,"release":"shop/production/5","environment":"production","commit":"@later"}
error.found release:shop/production/5 {"v":1,"group":"v1:bb","release":"shop/production/5","environment":"production","role":"cart","type":"ValueError","message":"no basket","again":false}
canary.finished release:shop/production/5 {"v":1,"release":"shop/production/5","environment":"production","stable":"shop/production/4","step":1,"steps":3,"weight":10,"state":"rejected","operations":[{"role":"cart","name":"GET /api/cart","requests":500,"failure_share":0.05,"verdict":"worse"}]}
wait 1m
show
