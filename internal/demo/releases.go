package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// release is the environment's current release as the command line shows it.
type release struct {
	Number int64    `json:"number"`
	Run    int64    `json:"run"`
	Images []string `json:"images"`
	Hosts  []string `json:"hosts"`
	Result string   `json:"result"`
	Pods   []struct {
		UID   string `json:"uid"`
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	} `json:"pods"`
}

func (t *tour) current(ctx context.Context) (release, error) {
	var env struct {
		Current *release `json:"current"`
	}
	if err := t.read(ctx, &env, "env", "show", "production"); err != nil {
		return release{}, err
	}
	if env.Current == nil {
		return release{}, errors.New("environment production has no release")
	}
	return *env.Current, nil
}

func (t *tour) deploy(ctx context.Context) (found, error) {
	r, err := t.current(ctx)
	if err != nil {
		return found{}, err
	}
	if r.Run != t.run || r.Result != "deployed" || len(r.Pods) < 4 {
		return found{}, fmt.Errorf("release %d is of run %d, %s, with %d pods", r.Number, r.Run, r.Result, len(r.Pods))
	}
	for _, i := range r.Images {
		if !strings.Contains(i, "@sha256:") {
			return found{}, fmt.Errorf("image %s is not deployed by digest", i)
		}
	}
	t.pod = r.Pods[0].Name
	running, err := t.towpath(ctx, "kubectl", "get", "pods", "-A", "-o", "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.phase} {.spec.containers[0].image}{\"\\n\"}{end}")
	if err != nil {
		return found{}, err
	}
	return found{
		detail:   fmt.Sprintf("release production/%d, %d pods", r.Number, len(r.Pods)),
		evidence: map[string]any{"release": r.Number, "images": r.Images, "pods": r.Pods, "kubectl": strings.Split(strings.TrimSpace(string(running)), "\n")},
	}, nil
}

// builds asks the shop through the front door which builds answer.
func (t *tour) builds(ctx context.Context) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.door+"/api/shop", nil)
	if err != nil {
		return nil, err
	}
	// The name shop.localhost is loopback everywhere, but not every resolver knows it.
	req.Host = "shop.localhost"
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var got struct {
		Services []struct{ Service, Build string }
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the shop answers %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&got); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range got.Services {
		out[s.Service] = s.Build
	}
	return out, nil
}

// serves waits until all four services answer with the build of a commit.
func (t *tour) serves(ctx context.Context, commit string, limit time.Duration) (map[string]string, error) {
	var got map[string]string
	err := until(ctx, limit, "build "+commit[:12]+" to serve", func() (bool, error) {
		var err error
		if got, err = t.builds(ctx); err != nil {
			return false, err
		}
		for _, s := range []string{"web", "catalog", "cart", "pricing"} {
			if got[s] != commit {
				return false, fmt.Errorf("%s answers with build %q", s, got[s])
			}
		}
		return true, nil
	})
	return got, err
}

func (t *tour) serving(ctx context.Context) (found, error) {
	got, err := t.serves(ctx, t.commit, time.Minute)
	return found{detail: fmt.Sprintf("all four services answer with build %.12s", t.commit), evidence: map[string]any{"builds": got, "url": "http://shop.localhost" + t.door[strings.LastIndexByte(t.door, ':'):]}}, err
}
