package web

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/web/page"
	"towpath.dev/towpath/internal/work"
)

// actions are what the visitor may do from anywhere.
func (f *finder) actions() error {
	if f.project == "" {
		return nil
	}
	for _, a := range []struct{ icon, text, words, note, path string }{
		{"board", "New item", "create bug task story", "c on the board", "/items/new"},
		{"pulls", "New pull request", "open", "", "/pulls/new"},
		{"runs", "Run pipeline", "start", "", "/runs?start=1"},
		{"code", "Open a dev session", "intercept towpath dev", "shows the command", "/sessions#open"},
		{"board", "Plan the sprint", "planning tray insights", "", "/planning"},
		{"status", "New alert rule", "monitor", "", "/monitor/rules/new"},
	} {
		if matches(f.text, a.text, a.words) {
			f.add("Do", a.icon, a.text, a.note, f.at(a.path))
		}
	}
	if f.text == "" {
		return nil
	}
	list, err := f.h.Deploy.Canaries(f.r.Context(), f.r.actor, f.project, "")
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.Finished.IsZero() {
			f.canary(c)
		}
	}
	return nil
}

// canary offers what can be decided about a canary; its page asks for the decision.
func (f *finder) canary(c canary.View) {
	number := c.Release[strings.LastIndexByte(c.Release, '/')+1:]
	to := f.at("/environments/" + page.Esc(c.Environment) + "/releases/" + page.Esc(number) + "#canary")
	note := strconv.Itoa(c.Weight) + " % of " + c.Environment
	for _, do := range []string{"Promote", "Reject"} {
		if text := do + " canary " + number; matches(f.text, text, c.Release) {
			f.add("Do", "environments", text, note, to)
		}
	}
}

// items finds items by number and by title, and the chain of one by "trace item/41".
func (f *finder) items() error {
	text := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(f.text, "item "), "item/"))
	if f.project == "" || text == "" {
		return nil
	}
	list, err := f.h.Work.Backlog(f.r.Context(), f.r.actor, f.project, work.Filter{Text: text, Limit: most})
	for _, i := range list.Items {
		if !matches(strings.TrimPrefix(text, "#"), i.Title, strconv.FormatInt(i.Number, 10)) {
			continue
		}
		f.add("Items", "board", "#"+strconv.FormatInt(i.Number, 10)+"  "+i.Title, i.State, page.ItemHref(page.Shell{Project: f.project}, i.Number))
	}
	return err
}

func (f *finder) sprints() error {
	if f.project == "" || f.text == "" {
		return nil
	}
	list, err := f.h.Work.Sprints(f.r.Context(), f.r.actor, f.project)
	shown := 0
	for _, sp := range list {
		if shown < most && matches(f.text, sp.Name, sp.Goal, "sprint") {
			f.add("Sprints", "board", sp.Name, sp.State, page.SprintHref(page.Shell{Project: f.project}, sp.ID))
			shown++
		}
	}
	return err
}

// releases finds "release 48" and "production 48" in every environment, and what each
// serves by the word alone.
func (f *finder) releases() error {
	if f.project == "" || f.text == "" {
		return nil
	}
	words := strings.FieldsFunc(f.text, func(r rune) bool { return r == ' ' || r == '/' })
	if len(words) == 0 {
		return nil
	}
	number, err := strconv.ParseInt(words[len(words)-1], 10, 64)
	named := err == nil && number > 0 && len(words) > 1
	list, err := f.h.Deploy.Environments(f.r.Context(), f.r.actor, f.project)
	if err != nil {
		return err
	}
	for _, e := range list {
		switch {
		case named && (words[0] == "release" || strings.HasPrefix(e.Name, words[len(words)-2])):
			if e.Latest == nil || number > e.Latest.Number {
				continue // It is not there yet.
			}
			n := strconv.FormatInt(number, 10)
			f.add("Releases", "environments", "Release "+n+" to "+e.Name, "", f.at("/environments/"+page.Esc(e.Name)+"/releases/"+n))
		case !named && e.Latest != nil && matches(f.text, "release", e.Name+" release"):
			_, word := page.ReleaseState(e.Latest)
			f.add("Releases", "environments", "Release "+strconv.FormatInt(e.Latest.Number, 10)+" to "+e.Name, word, page.ReleaseHref(page.Shell{Project: f.project}, *e.Latest))
		}
	}
	return nil
}

// sessions finds developers' sessions that are on.
func (f *finder) sessions() error {
	if f.project == "" || f.text == "" || f.h.Identity.Require(f.r.Context(), f.r.actor, f.project, identity.Read) != nil {
		return nil
	}
	list, err := f.h.Dev.List(f.r.Context(), f.r.actor, f.project, "", false)
	for _, x := range list {
		if matches(f.text, x.User+" "+x.Service, x.Service, "session "+x.Environment) {
			f.add("Dev sessions", "code", x.User+" answers for "+x.Service, x.Environment, f.at("/sessions"))
		}
	}
	return err
}
