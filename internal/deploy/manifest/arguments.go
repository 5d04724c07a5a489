package manifest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"towpath.dev/towpath/internal/fault"
)

// Secret makes the Secret of the action createSecret: kind is "generic" or "dockerRegistry",
// args are the words of secretArguments, which are options of `kubectl create secret`. No
// error tells a value.
func Secret(kind, name string, args []string) (map[string]any, error) {
	if name == "" {
		return nil, fault.New(fault.Invalid, "The action createSecret needs the input secretName.")
	}
	if !strings.EqualFold(kind, "generic") && kind != "" && !strings.EqualFold(kind, "dockerRegistry") {
		return nil, fault.New(fault.Invalid, "secretType cannot be %q.", kind).WithNext("use generic or dockerRegistry")
	}
	options, err := optionsOf(args)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name}}
	if strings.EqualFold(kind, "generic") {
		return generic(out, options)
	}
	return dockerRegistry(out, options)
}

// option is one option of a command line, "--name=value".
type option struct{ name, value string }

func optionsOf(args []string) ([]option, error) {
	var out []option
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "--") {
			return nil, fault.New(fault.Invalid, "secretArguments has a word that belongs to no option.").WithNext("write --from-literal=KEY=VALUE, in quotes when there is white space in it")
		}
		if !has {
			if i++; i >= len(args) {
				return nil, fault.New(fault.Invalid, "The option %s of secretArguments has no value.", name)
			}
			value = args[i]
		}
		out = append(out, option{name, value})
	}
	return out, nil
}

func generic(secret map[string]any, options []option) (map[string]any, error) {
	data := map[string]any{}
	secret["type"] = "Opaque"
	for _, o := range options {
		switch o.name {
		case "--from-literal":
			key, value, ok := strings.Cut(o.value, "=")
			if !ok || key == "" {
				return nil, fault.New(fault.Invalid, "An option --from-literal of secretArguments is no KEY=VALUE.")
			}
			if _, twice := data[key]; twice {
				return nil, fault.New(fault.Invalid, "secretArguments has the key %s twice.", key)
			}
			data[key] = base64.StdEncoding.EncodeToString([]byte(value))
		case "--type":
			secret["type"] = o.value
		default:
			return nil, unknownOption(o.name, "--from-literal and --type")
		}
	}
	secret["data"] = data
	return secret, nil
}

func dockerRegistry(secret map[string]any, options []option) (map[string]any, error) {
	given := map[string]string{"--docker-server": "https://index.docker.io/v1/"} // as kubectl has it
	for _, o := range options {
		switch o.name {
		case "--docker-server", "--docker-username", "--docker-password", "--docker-email":
			given[o.name] = o.value
		default:
			return nil, unknownOption(o.name, "--docker-server, --docker-username, --docker-password and --docker-email")
		}
	}
	user, password := given["--docker-username"], given["--docker-password"]
	if user == "" || password == "" {
		return nil, fault.New(fault.Invalid, "A Secret of the type dockerRegistry needs a user and a password.").
			WithNext("write secretArguments: --docker-server=HOST --docker-username=NAME --docker-password=$(password); images of this server's own registry need none")
	}
	entry := map[string]string{"username": user, "password": password, "auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	if email := given["--docker-email"]; email != "" {
		entry["email"] = email
	}
	raw, err := json.Marshal(map[string]any{"auths": map[string]any{given["--docker-server"]: entry}})
	if err != nil {
		return nil, fmt.Errorf("encoding a docker configuration: %w", err)
	}
	secret["type"] = "kubernetes.io/dockerconfigjson"
	secret["data"] = map[string]any{".dockerconfigjson": base64.StdEncoding.EncodeToString(raw)}
	return secret, nil
}

func unknownOption(name, known string) error {
	return fault.New(fault.Invalid, "secretArguments cannot have the option %s.", name).WithNext("use %s", known)
}

// Named is an object as kubectl names it: a kind in any of its forms ("deploy", "Service",
// "deployments.apps"), and a name.
type Named struct{ Kind, Name string }

// Only returns the object that a manifest holds; an error when it holds none or several.
func Only(raw []byte) (Named, error) {
	var found []Named
	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096); ; {
		var o map[string]any
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Named{}, fmt.Errorf("reading a manifest: %w", err)
		}
		if kind := text(o["kind"]); kind != "" {
			if group, _, ok := strings.Cut(text(o["apiVersion"]), "/"); ok {
				kind += "." + group
			}
			found = append(found, Named{kind, text(mapOf(o["metadata"])["name"])})
		}
	}
	if len(found) != 1 {
		return Named{}, fault.New(fault.Invalid, "The manifest holds %d objects, not one.", len(found))
	}
	return found[0], nil
}
