package agent

import "strings"

// endpoint is a service connection as tasks see it (K002).
type endpoint struct {
	url              string
	auth, data       map[string]string // by key in upper case
	authenticationAs string            // scheme
	// names are the keys of auth as the connection writes them: tasks find them so in the
	// JSON of the authorization.
	names map[string]string
	// made says that a step has made it, see setEndpoint.
	made bool
}

// setAuth sets a parameter of the authorization.
func (e *endpoint) setAuth(name, value string) {
	if e.auth == nil {
		e.auth, e.names = map[string]string{}, map[string]string{}
	}
	if e.names == nil {
		e.names = map[string]string{}
	}
	key := strings.ToUpper(name)
	e.auth[key] = value
	if _, known := e.names[key]; !known {
		e.names[key] = name
	}
}

// variables are the variables in which a task finds the connection. Those that hold secrets
// are for tasks that take them out of the environment again before they start another
// program, as the task library does; with withSecrets false they are left out.
func (e *endpoint) variables(id string, withSecrets bool) map[string]string {
	out := map[string]string{}
	if e.url != "" {
		out["ENDPOINT_URL_"+id] = e.url
	}
	for k, v := range e.data {
		out["ENDPOINT_DATA_"+id+"_"+k] = v
	}
	if !withSecrets {
		return out
	}
	if len(e.data) > 0 {
		out["ENDPOINT_DATA_"+id] = jsonOf(e.data)
	}
	if len(e.auth) == 0 && e.authenticationAs == "" {
		return out
	}
	parameters := map[string]string{}
	for k, v := range e.auth {
		out["ENDPOINT_AUTH_PARAMETER_"+id+"_"+envName(k)] = v
		parameters[e.names[k]] = v
	}
	if e.authenticationAs != "" {
		out["ENDPOINT_AUTH_SCHEME_"+id] = e.authenticationAs
	}
	out["ENDPOINT_AUTH_"+id] = jsonOf(map[string]any{"scheme": e.authenticationAs, "parameters": parameters})
	return out
}
