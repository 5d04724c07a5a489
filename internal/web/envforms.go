package web

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/web/page"
)

// maxSteps is how many steps the form of a strategy takes.
const maxSteps = 20

// editEnvironment changes how an environment is deployed to.
func (h *handler) editEnvironment(w http.ResponseWriter, r request) error {
	name := r.PathValue("env")
	env, err := h.Deploy.Environment(r.Context(), r.actor, r.project(), name)
	if err != nil {
		return err
	}
	field := func(name string) *string {
		v := strings.TrimSpace(r.PostForm.Get(name))
		if v == "" {
			return nil
		}
		return &v
	}
	c := deploy.Change{Routing: field("routing"), Sessions: field("sessions"), Drift: field("drift"), ReviewApps: field("review_apps")}
	if c.Strategy, err = strategy(r, env.Strategy); err != nil {
		return err
	}
	// Who leaves the page does not leave a namespace half switched.
	if _, err := h.Deploy.Edit(context.WithoutCancel(r.Context()), r.actor, r.project(), name, c); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/environments/"+page.Esc(name)), "Saved.")
}

// endReviewApp takes a review app away and leads to the environment that it was of.
func (h *handler) endReviewApp(w http.ResponseWriter, r request) error {
	// Who leaves the page does not leave half of it.
	env, err := h.Deploy.EndReviewApp(context.WithoutCancel(r.Context()), r.actor, r.project(), r.PathValue("env"))
	if err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.At("/environments/"+page.Esc(env.Review.Base)), "Review app "+env.Name+" is gone.")
}

// strategy reads the steps of the form; nil when it asks for what is there already. What
// the form does not show, such as metrics, stays as it was.
func strategy(r request, now *canary.Strategy) (*canary.Strategy, error) {
	var to canary.Strategy
	if now != nil {
		to = *now
	}
	to.Steps = nil
	weights, pauses, then, analysis := r.PostForm["weight"], r.PostForm["pause"], r.PostForm["then"], r.PostForm["analysis"]
	if len(weights) != len(pauses) || len(weights) != len(then) || len(weights) != len(analysis) || len(weights) > maxSteps {
		return nil, fault.New(fault.Invalid, "The steps of the strategy cannot be read.").WithNext("open the page again and send the form from there")
	}
	for i, text := range weights {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		weight, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(text, "%")))
		if err != nil {
			return nil, fault.New(fault.Invalid, "%.20q is no share of the traffic.", text).WithNext("write percent as a whole number, such as 25")
		}
		st := canary.Step{Weight: weight, Person: then[i] == "person", Analysis: analysis[i]}
		if p := strings.ReplaceAll(pauses[i], " ", ""); p != "" {
			d, err := time.ParseDuration(p)
			if err != nil || d < 0 {
				return nil, fault.New(fault.Invalid, "%.20q is no pause.", pauses[i]).WithNext("write one such as 30s, 10m or 1h30m")
			}
			st.Pause = canary.Duration(d)
		}
		to.Steps = append(to.Steps, st)
	}
	if now == nil && to.Steps == nil || now != nil && reflect.DeepEqual(to, *now) {
		return nil, nil
	}
	return &to, nil
}

// redeploy deploys an earlier release again. The answer comes when it serves; the pages of
// the environment follow it meanwhile.
func (h *handler) redeploy(w http.ResponseWriter, r request) error {
	release := r.project() + "/" + r.PathValue("env") + "/" + r.PathValue("release")
	// Who leaves the page does not take the deployment with them.
	rel, err := h.Deploy.Redeploy(context.WithoutCancel(r.Context()), r.actor, release, func(string) {})
	if err != nil {
		return err
	}
	notice := "Release " + r.PathValue("release") + " serves again, as release " + strconv.FormatInt(rel.Number, 10) + "."
	if rel.Result != deploy.Deployed {
		notice = "Release " + strconv.FormatInt(rel.Number, 10) + " did not stay: " + rel.Why
	}
	return done(w, r, page.ReleaseHref(page.Shell{Project: r.project()}, rel), notice)
}
