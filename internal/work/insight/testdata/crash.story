# A panic at the start: the release never becomes ready; then a leak, and an image that is not there.
release.finished release:shop/production/1 {"v":1,"release":"shop/production/1","environment":"production","commit":"@two","result":"deployed"}
release.started release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","commit":"@fault"}
pod.changed pod:a1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-7d9f8b6c5d-x2x4z","uid":"a1","restarts":1,"why":"container cart crashed (exit code 2), starting again"}
pod.changed pod:a1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-7d9f8b6c5d-x2x4z","uid":"a1","ready":true,"restarts":1}
pod.changed pod:a1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-7d9f8b6c5d-x2x4z","uid":"a1","restarts":2,"why":"container cart crashed 3 times (exit code 2)"}
pod.changed pod:a2 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-7d9f8b6c5d-b2b4z","uid":"a2","restarts":2,"why":"container cart crashed 3 times (exit code 2)"}
pod.changed pod:a2 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-7d9f8b6c5d-b2b4z","uid":"a2","restarts":3,"why":"container cart crashed 4 times (exit code 137), OOMKilled"}
pod.changed pod:b1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-web-6b6f8b6c5d-c2x4z","uid":"b1","why":"ImagePullBackOff: not found"}
error.found release:shop/production/2 {"v":1,"group":"v1:cc","release":"shop/production/2","environment":"production","role":"cart","type":"panic","message":"index out of range"}
wait 1m
show
# The next release is available.
release.finished release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","commit":"@fix","result":"deployed"}
pod.changed pod:a1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-7d9f8b6c5d-x2x4z","uid":"a1","gone":true}
pod.changed pod:a2 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-cart-7d9f8b6c5d-b2b4z","uid":"a2","gone":true}
pod.changed pod:b1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"shop-web-6b6f8b6c5d-c2x4z","uid":"b1","gone":true}
pod.changed pod:c1 {"v":1,"release":"shop/production/3","namespace":"shop","name":"shop-cart-5c9f8b6c5d-x2x4z","uid":"c1","ready":true}
wait 12m
show
wait 40m
show
