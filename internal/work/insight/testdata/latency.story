# A rollout without a canary makes one route slow; who calls it sees an alert.
release.finished release:shop/production/1 {"v":1,"release":"shop/production/1","environment":"production","commit":"@two","result":"deployed"}
release.finished release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","commit":"@fault","result":"deployed"}
alert.fired alert:L1 {"v":1,"alert":"L1","rule":"slow","kind":"query","severity":"warning","environment":"production","release":"shop/production/2","summary":"p95 over 500 ms","labels":{"service":"cart"},"query":"AppRequests"}
release.compared release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","baseline":"shop/production/1","verdict":"worse","operations":[{"role":"cart","name":"GET /api/cart","requests":4000,"requests_before":4100,"p95_ms":900,"p95_before_ms":40,"p":0.0001,"verdict":"worse"},{"role":"cart","name":"POST /api/cart","requests":400,"requests_before":410,"p95_ms":700,"p95_before_ms":50,"p":0.0002,"verdict":"worse"}]}
alert.fired alert:L2 {"v":1,"alert":"L2","rule":"slow","kind":"query","severity":"warning","environment":"production","release":"shop/production/2","summary":"p95 over 500 ms","labels":{"service":"cart","pod":"cart-7d9f8b6c5d-x2x4z"},"query":"AppRequests"}
wait 1m
show
release.finished release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","commit":"@fix","result":"deployed"}
release.compared release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","baseline":"shop/production/2","verdict":"better","operations":[{"role":"cart","name":"GET /api/cart","requests":3000,"p95_ms":39,"p95_before_ms":900,"verdict":"better"}]}
alert.resolved alert:L1 {"v":1,"alert":"L1","rule":"slow","kind":"query","severity":"warning","environment":"production","release":"shop/production/2","labels":{"service":"cart"},"why":"the condition is over"}
wait 5m
alert.resolved alert:L2 {"v":1,"alert":"L2","rule":"slow","kind":"query","severity":"warning","environment":"production","release":"shop/production/2","labels":{"service":"cart","pod":"cart-7d9f8b6c5d-x2x4z"},"why":"the condition is over"}
wait 11m
show
