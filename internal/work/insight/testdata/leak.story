# A canary runs out of memory again and again; it is rejected and its pods are gone before the
# signal of the crashes waited out the trial. The item closes when the fix is promoted, whole.
release.finished release:shop/production/1 {"v":1,"release":"shop/production/1","environment":"production","commit":"@two","result":"deployed"}
canary.stepped release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","stable":"shop/production/1","step":1,"steps":3,"weight":50,"state":"progressing"}
release.started release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","commit":"@fault"}
pod.changed pod:u1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"cart-canary-7d9f8b6c5d-x2x4z","uid":"u1","restarts":1,"why":"container cart: OOMKilled"}
pod.changed pod:u1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"cart-canary-7d9f8b6c5d-x2x4z","uid":"u1","ready":true,"restarts":1}
pod.changed pod:u1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"cart-canary-7d9f8b6c5d-x2x4z","uid":"u1","restarts":2,"why":"container cart: OOMKilled"}
pod.changed pod:u1 {"v":1,"release":"shop/production/2","namespace":"shop","name":"cart-canary-7d9f8b6c5d-x2x4z","uid":"u1","gone":true}
canary.finished release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","stable":"shop/production/1","step":1,"steps":3,"weight":50,"state":"rejected","why":"cart: out of memory","metrics":[{"service":"cart","name":"oom","canary":2,"baseline":0,"samples":1,"verdict":"failure"}]}
release.finished release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","commit":"@fault","result":"rolled-back"}
wait 1m
show
canary.stepped release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","stable":"shop/production/1","step":1,"steps":3,"weight":50,"state":"progressing"}
release.started release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","commit":"@fix"}
canary.finished release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","stable":"shop/production/1","step":3,"steps":3,"weight":100,"state":"promoted"}
release.finished release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","commit":"@fix","result":"deployed"}
wait 30m
show
