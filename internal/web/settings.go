package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/web/page"
)

// holds reports whether the visitor holds a role in the project.
func (h *handler) holds(r request, role identity.Role) bool {
	return h.Identity.Require(r.Context(), r.actor, r.project(), role) == nil
}

// repoSettings shows the rulesets and, to who may change them, the deploy keys.
func (h *handler) repoSettings(w http.ResponseWriter, r request) error {
	rv, err := h.repoView(r, "settings")
	if err != nil {
		return err
	}
	v := page.RepoSettings{RepoView: rv, Maintain: h.holds(r, identity.Maintain)}
	if v.Rulesets, err = h.Rulesets.List(r.Context(), r.actor, r.repo()); err != nil {
		return err
	}
	if v.Maintain {
		if v.Keys, err = h.Identity.DeployKeys(r.Context(), r.actor, r.repo()); err != nil {
			return err
		}
	}
	return h.render(w, r, page.RepoSettingsPage(h.codeShell(w, r, "Rules and keys", page.Crumb{Text: "rules and keys"}), v))
}

// ruleset shows the form of one ruleset, or of a new one.
func (h *handler) ruleset(w http.ResponseWriter, r request) error {
	rv, err := h.repoView(r, "settings")
	if err != nil {
		return err
	}
	v := page.RulesetView{RepoView: rv, Maintain: h.holds(r, identity.Maintain)}
	name := r.PathValue("ruleset")
	if name == "" {
		v.Fresh, v.Set = true, page.NewRuleset(r.repo())
	} else if v.Set, err = h.Rulesets.Get(r.Context(), r.actor, r.repo(), name); err != nil {
		return err
	}
	at := rv.Repo.Name
	s := h.codeShell(w, r, orElse(name, "New ruleset"), page.Crumb{Text: "rules and keys", Href: "/projects/" + r.project() + "/code/" + page.Esc(at) + "/settings"}, page.Crumb{Text: orElse(name, "new")})
	return h.render(w, r, page.RulesetPage(s, v))
}

// putRuleset takes the form, or its JSON.
func (h *handler) putRuleset(w http.ResponseWriter, r request) error {
	set, err := rulesetOf(r)
	if err != nil {
		return err
	}
	set.Repo = r.repo()
	if set, err = h.Rulesets.Put(r.Context(), r.actor, set); err != nil {
		return err
	}
	return done(w, r, repoPath(r, "/settings"), "The ruleset “"+set.Name+"” is saved.")
}

func repoPath(r request, rest string) string {
	return "/projects/" + r.project() + "/code/" + page.Esc(r.PathValue("repo")) + rest
}

func rulesetOf(r request) (ruleset.Ruleset, error) {
	f := r.PostForm
	if text := f.Get("json"); text != "" {
		var set ruleset.Ruleset
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&set); err != nil {
			return set, fault.Wrap(fault.Invalid, err, "This is not the JSON of a ruleset: %s.", err).WithNext("compare it with the form beside it")
		}
		return set, nil
	}
	on := func(name string) bool { return f.Get(name) != "" }
	set := ruleset.Ruleset{
		Name: strings.TrimSpace(f.Get("name")), Enforcement: ruleset.Enforcement(f.Get("enforcement")), Refs: strings.Fields(f.Get("refs")), Bypass: strings.Fields(f.Get("bypass")),
		Rules: ruleset.Rules{
			BlockForcePush: on("force"), RestrictDeletion: on("deletion"), RestrictCreation: on("creation"), LinearHistory: on("linear"), RestrictPushes: strings.Fields(f.Get("pushes")),
		},
	}
	for line := range strings.SplitSeq(f.Get("checks"), "\n") {
		// The name may hold spaces, who reported it not.
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		c := ruleset.Check{Name: strings.Join(words, " ")}
		if last := words[len(words)-1]; len(words) > 1 && strings.Contains(last, ":") {
			c = ruleset.Check{Name: strings.Join(words[:len(words)-1], " "), Source: last}
		}
		set.Rules.RequiredChecks = append(set.Rules.RequiredChecks, c)
	}
	if on("pull") {
		n, err := strconv.Atoi(orElse(f.Get("approvals"), "0"))
		if err != nil {
			return set, fault.New(fault.Invalid, "The number of approvals is no number.").WithNext("write 0 to 10")
		}
		p := &ruleset.PullRequest{Approvals: n, CodeOwners: on("owners"), DropStale: on("stale"), ResolvedThreads: on("threads")}
		if list := f["method"]; len(list) < 3 {
			p.Methods = slices.Clone(list)
		}
		set.Rules.PullRequest = p
	}
	return set, nil
}

func (h *handler) deleteRuleset(w http.ResponseWriter, r request) error {
	if err := h.Rulesets.Delete(r.Context(), r.actor, r.repo(), r.PathValue("ruleset")); err != nil {
		return err
	}
	return done(w, r, repoPath(r, "/settings"), "The ruleset is deleted.")
}

func (h *handler) addDeployKey(w http.ResponseWriter, r request) error {
	f := r.PostForm
	k, err := h.Identity.AddDeployKey(r.Context(), r.actor, r.repo(), strings.TrimSpace(f.Get("title")), f.Get("key"), f.Get("write") != "")
	if err != nil {
		return err
	}
	return done(w, r, repoPath(r, "/settings"), "The key “"+k.Title+"” may use this repository.")
}

func (h *handler) removeDeployKey(w http.ResponseWriter, r request) error {
	if err := h.Identity.RemoveKey(r.Context(), r.actor, r.PathValue("id")); err != nil {
		return err
	}
	return done(w, r, repoPath(r, "/settings"), "The key is removed.")
}

func (h *handler) addKey(w http.ResponseWriter, r request) error {
	k, err := h.Identity.AddKey(r.Context(), r.actor, strings.TrimSpace(r.PostForm.Get("title")), r.PostForm.Get("key"))
	if err != nil {
		return err
	}
	return done(w, r, "/settings", "The key “"+k.Title+"” stands for you.")
}

func (h *handler) removeKey(w http.ResponseWriter, r request) error {
	if err := h.Identity.RemoveKey(r.Context(), r.actor, r.PathValue("id")); err != nil {
		return err
	}
	return done(w, r, "/settings", "The key is removed.")
}

// protectedBranches bounds for how many branches it is looked up what protects them.
const protectedBranches = 200

// protectedBy finds the rulesets that hold for each branch.
func (h *handler) protectedBy(r request, v *page.RepoView) error {
	list, err := h.Rulesets.List(r.Context(), r.actor, r.repo())
	if err != nil || len(list) == 0 {
		return err
	}
	v.Protected = map[string][]string{}
	for i, b := range v.Branches {
		if i == protectedBranches {
			break
		}
		q, err := h.Rulesets.Requirements(r.Context(), r.actor, r.repo(), b.Name)
		if err != nil {
			return err
		}
		v.Protected[b.Name] = q.Rulesets
	}
	return nil
}
