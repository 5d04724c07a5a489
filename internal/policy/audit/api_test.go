package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// api is an API server that serves pods and Deployments from memory: lists in pages, gets,
// and watches from a version on.
type api struct {
	server *httptest.Server

	mu      sync.Mutex
	version int
	objects map[string]map[string]any // by resource and "namespace/name"
	history []change
	news    chan struct{}
	lists   map[string]int // first pages asked for, by resource
}

type change struct {
	version  int
	typ      string
	resource string
	object   []byte
}

// resources are what the server has.
var resources = map[string]struct{ kind, group string }{"pods": {"Pod", ""}, "deployments": {"Deployment", "apps"}}

func newAPI(t testing.TB) *api {
	a := &api{objects: map[string]map[string]any{}, news: make(chan struct{}), lists: map[string]int{}, version: 1}
	a.server = httptest.NewServer(a)
	t.Cleanup(func() {
		a.server.CloseClientConnections()
		a.server.Close()
	})
	return a
}

func (a *api) Await(context.Context) error { return nil }
func (a *api) Changed() <-chan struct{}    { return nil }
func (a *api) Admin(context.Context) (*rest.Config, error) {
	return &rest.Config{Host: a.server.URL, QPS: -1}, nil
}

// put creates or replaces an object.
func (a *api) put(resource string, object map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	meta := object["metadata"].(map[string]any)
	key := resource + " " + meta["namespace"].(string) + "/" + meta["name"].(string)
	typ := "ADDED"
	if _, ok := a.objects[key]; ok {
		typ = "MODIFIED"
	}
	a.version++
	meta["resourceVersion"] = strconv.Itoa(a.version)
	a.objects[key] = object
	a.tell(typ, resource, object)
}

func (a *api) remove(resource, namespace, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := resource + " " + namespace + "/" + name
	object := a.objects[key]
	delete(a.objects, key)
	a.version++
	a.tell("DELETED", resource, object)
}

func (a *api) tell(typ, resource string, object map[string]any) {
	b, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	a.history = append(a.history, change{a.version, typ, resource, b})
	close(a.news)
	a.news = make(chan struct{})
}

// listed returns how often a resource was listed.
func (a *api) listed(resource string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lists[resource]
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/version":
		fmt.Fprint(w, `{"gitVersion":"v1.37.2"}`)
		return
	case "/api":
		fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
		return
	case "/apis":
		fmt.Fprint(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}]}`)
		return
	case "/api/v1":
		fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","namespaced":true,"kind":"Pod","verbs":["get","list","watch"]}]}`)
		return
	case "/apis/apps/v1":
		fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[{"name":"deployments","namespaced":true,"kind":"Deployment","verbs":["get","list","watch"]}]}`)
		return
	}
	namespace, rest := "", strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/apis/apps/v1/")
	if after, ok := strings.CutPrefix(rest, "namespaces/"); ok {
		namespace, rest, _ = strings.Cut(after, "/")
	}
	resource, name, _ := strings.Cut(rest, "/")
	switch q := r.URL.Query(); {
	case resources[resource].kind == "":
		http.NotFound(w, r)
	case name != "":
		a.get(w, resource+" "+namespace+"/"+name)
	case q.Get("watch") != "":
		a.watch(w, r, resource)
	default:
		a.list(w, resource, namespace, q.Get("limit"), q.Get("continue"))
	}
}

func (a *api) get(w http.ResponseWriter, key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	object, ok := a.objects[key]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		return
	}
	_ = json.NewEncoder(w).Encode(object)
}

func (a *api) list(w http.ResponseWriter, resource, namespace, limit, after string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if after == "" {
		a.lists[resource]++
	}
	var keys []string
	for k := range a.objects {
		if strings.HasPrefix(k, resource+" "+namespace) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	next := ""
	if n, err := strconv.Atoi(limit); err == nil && n > 0 && len(keys) > n {
		keys, next = keys[:n], keys[n-1]
	}
	items := make([]map[string]any, len(keys))
	for i, k := range keys {
		items[i] = a.objects[k]
	}
	version := "v1"
	if g := resources[resource].group; g != "" {
		version = g + "/v1"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": resources[resource].kind + "List", "apiVersion": version, "items": items,
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(a.version), "continue": next},
	})
}

func (a *api) watch(w http.ResponseWriter, r *http.Request, resource string) {
	at, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	flush := w.(http.Flusher).Flush
	flush()
	for {
		a.mu.Lock()
		i, _ := slices.BinarySearchFunc(a.history, at+1, func(c change, v int) int { return c.version - v })
		fresh, news := slices.Clone(a.history[i:]), a.news
		a.mu.Unlock()
		for _, c := range fresh {
			at = c.version
			if c.resource == resource {
				fmt.Fprintf(w, `{"type":%q,"object":%s}`+"\n", c.typ, c.object)
			}
		}
		flush()
		select {
		case <-r.Context().Done():
			return
		case <-news:
		}
	}
}
