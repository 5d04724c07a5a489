# A canary of the cart breaks; the web, which asks it and was last changed two releases ago, logs
# an error of its own in its old pods. They are one cause. An error of the web that came before the
# trial is another, and so is one of a service that asks nobody.
release.finished release:shop/production/1 {"v":1,"release":"shop/production/1","environment":"production","commit":"@one","result":"deployed"}
release.finished release:shop/production/2 {"v":1,"release":"shop/production/2","environment":"production","commit":"@two","result":"deployed"}
error.found release:shop/production/1 {"v":1,"group":"v1:old","release":"shop/production/1","environment":"production","role":"web","type":"TimeoutError","message":"reading the page"}
wait 1m
canary.stepped release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","stable":"shop/production/2","step":1,"steps":3,"weight":50,"state":"progressing"}
release.started release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","commit":"@fault"}
error.found release:shop/production/1 {"v":1,"group":"v1:web","release":"shop/production/1","environment":"production","role":"web","type":"RestError","message":"asking the cart service"}
error.found release:shop/production/1 {"v":1,"group":"v1:mail","release":"shop/production/1","environment":"production","role":"mail","type":"RestError","message":"no route"}
wait 40s
show
canary.finished release:shop/production/3 {"v":1,"release":"shop/production/3","environment":"production","stable":"shop/production/2","step":1,"steps":3,"weight":50,"state":"rejected","why":"5 %","operations":[{"role":"cart","name":"GET /api/cart","requests":900,"requests_before":900,"failure_share":0.051,"failure_before":0,"p":0.00001,"verdict":"worse"}]}
wait 1m
show
