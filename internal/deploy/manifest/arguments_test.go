package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// TestSecretK044 makes Secrets of the options of kubectl; no error gives a value away.
func TestSecretK044(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		args       []string
		want       string
		kindOf     fault.Kind
	}{
		{name: "generic", kind: "generic", args: []string{"--from-literal=user=ada", "--from-literal", "password=a=b c"},
			want: "apiVersion: v1\ndata:\n  password: YT1iIGM=\n  user: YWRh\nkind: Secret\nmetadata:\n  name: s\ntype: Opaque\n"},
		{name: "of a type", kind: "Generic", args: []string{"--type=example.com/key"},
			want: "apiVersion: v1\ndata: {}\nkind: Secret\nmetadata:\n  name: s\ntype: example.com/key\n"},
		{name: "docker", kind: "dockerRegistry", args: []string{"--docker-server=r.example", "--docker-username=ada", "--docker-password=hidden"},
			want: "apiVersion: v1\ndata:\n  .dockerconfigjson: eyJhdXRocyI6eyJyLmV4YW1wbGUiOnsiYXV0aCI6IllXUmhPbWhwWkdSbGJnPT0iLCJwYXNzd29yZCI6ImhpZGRlbiIsInVzZXJuYW1lIjoiYWRhIn19fQ==\nkind: Secret\nmetadata:\n  name: s\ntype: kubernetes.io/dockerconfigjson\n"},
		{name: "ErrFile", kind: "generic", args: []string{"--from-file=hidden"}, kindOf: fault.Invalid},
		{name: "ErrTwice", kind: "generic", args: []string{"--from-literal=a=hidden", "--from-literal=a=2"}, kindOf: fault.Invalid},
		{name: "ErrNoPair", kind: "generic", args: []string{"--from-literal=hidden"}, kindOf: fault.Invalid},
		{name: "ErrNoOption", kind: "generic", args: []string{"hidden"}, kindOf: fault.Invalid},
		{name: "ErrNoUser", kind: "dockerRegistry", args: []string{"--docker-password=hidden"}, kindOf: fault.Invalid},
		{name: "ErrType", kind: "tls", kindOf: fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := manifest.Secret(c.kind, "s", c.args)
			if fault.KindOf(err) != c.kindOf {
				t.Fatalf("%v, want kind %q", err, c.kindOf)
			}
			if err != nil {
				if strings.Contains(err.Error(), "hidden") {
					t.Errorf("the error gives a value away: %v", err)
				}
				return
			}
			text, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(text)); diff != "" {
				t.Errorf("the Secret (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := manifest.Secret("generic", "", nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("a Secret without a name: %v", err)
	}
}
