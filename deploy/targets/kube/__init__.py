"""The user's own manifests on Kubernetes clusters: server-side applied, watched, pruned by label, taken back.

Native objects in, native objects out: no module here knows more of an object than it needs to set a digest, to find its
pods, or to say in words what is wrong. Read `target` first; what decides is pure (`reading`, `images`, `canary`,
`judging`, `differences`), what acts is `wire` (HTTP), `record` (the lane's ConfigMap), `applying` and `watching`.
"""
