package pool

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// DockerConfig is the file of docker's own client, which nodes and engines read.
func DockerConfig(pulls []Pull) ([]byte, error) {
	type login struct {
		User     string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	}
	auths := map[string]login{}
	for _, p := range pulls {
		auth := base64.StdEncoding.EncodeToString([]byte(p.User + ":" + p.Password))
		key := registryKey(p.Server)
		if p.Repository != "" {
			key += "/" + p.Repository
		}
		auths[key] = login{User: p.User, Password: p.Password, Auth: auth}
	}
	return json.Marshal(map[string]any{"auths": auths})
}

// registryKey is how nodes find the login of a registry: by its host, without a path, which
// would mean the repositories below it.
func registryKey(server string) string {
	_, rest, ok := strings.Cut(server, "://")
	if !ok {
		rest = server
	}
	host, _, _ := strings.Cut(strings.ToLower(rest), "/")
	if host == "docker.io" || host == "registry-1.docker.io" || host == "registry.hub.docker.com" {
		return "index.docker.io"
	}
	return host
}
