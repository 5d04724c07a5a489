package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/web/page"
)

// exemptForm shows the form of an exemption, filled in from what the address names.
func (h *handler) exemptForm(w http.ResponseWriter, r request) error {
	s, err := h.polShell(w, r, "New exemption", page.Crumb{Text: "exemptions", Href: page.Shell{Project: r.project()}.Pol("/exemptions")}, page.Crumb{Text: "new"})
	if err != nil {
		return err
	}
	v := page.ExemptView{Objects: r.query("object")}
	if one := r.query("rule"); one != "" {
		v.References = []string{one}
	}
	if name := r.query("assignment"); name != "" {
		if v.Assignment, err = h.Policy.Assignment(r.Context(), r.actor, name); err != nil {
			return err
		}
	} else if v.Assignments, err = h.Policy.Assignments(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	if r.project() != "" && v.Assignment.Scope.Of() == "" {
		v.Scope = rule.Project + ":" + r.project() // Not more than what one looks at.
	}
	return h.render(w, r, page.ExemptPage(s, v))
}

// maxObjects is how many objects a form may exempt.
const maxObjects = 50

// exempt takes the form: it becomes an exemption as Azure Policy writes them.
func (h *handler) exempt(w http.ResponseWriter, r request) error {
	f := r.PostForm
	days, err := strconv.Atoi(f.Get("days"))
	if err != nil || days < 1 || days > 366 {
		return fault.New(fault.Invalid, "An exemption ends after a number of days.").WithNext("choose one of the list")
	}
	objects, err := objectRefs(f.Get("objects"))
	if err != nil {
		return err
	}
	name := strings.TrimSpace(f.Get("name"))
	p := map[string]any{
		"policyAssignmentId": f.Get("assignment"), "exemptionCategory": f.Get("category"), "description": strings.TrimSpace(f.Get("reason")),
		"expiresOn": h.Clock.Now().Add(time.Duration(days) * 24 * time.Hour).UTC().Format(time.RFC3339), "metadata": map[string]any{"requestedBy": r.actor.String()},
	}
	if ticket := strings.TrimSpace(f.Get("ticket")); ticket != "" {
		p["metadata"] = map[string]any{"requestedBy": r.actor.String(), "ticketRef": ticket}
	}
	if list := f["rule"]; len(list) > 0 {
		p["policyDefinitionReferenceIds"] = list
	}
	if len(objects) > 0 {
		p["objects"] = objects
	}
	if scope := strings.TrimSpace(f.Get("scope")); scope != "" {
		p["scope"] = scope
	}
	raw, err := json.Marshal(map[string]any{"name": name, "properties": p})
	if err != nil {
		return err
	}
	if _, err := h.Policy.Exempt(r.Context(), r.actor, raw); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.Pol("/exemptions"), "Exempt until it ends: "+name+".")
}

// objectRefs reads lines of "Kind namespace/name" or "Kind.group namespace/name"; a name
// alone is an object without a namespace.
func objectRefs(text string) ([]rule.ObjectRef, error) {
	var out []rule.ObjectRef
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 || len(out) == maxObjects {
			return nil, fault.New(fault.Invalid, "%q names no object.", line[:min(len(line), 100)]).WithNext("write one a line, such as Deployment.apps shop-production/cart; at most %d", maxObjects)
		}
		var o rule.ObjectRef
		o.Kind, o.Group, _ = strings.Cut(words[0], ".")
		namespace, name, ok := strings.Cut(words[1], "/")
		if o.Namespace, o.Name = namespace, name; !ok {
			o.Namespace, o.Name = "", namespace
		}
		out = append(out, o)
	}
	return out, nil
}

func (h *handler) unexempt(w http.ResponseWriter, r request) error {
	if err := h.Policy.Unexempt(r.Context(), r.actor, r.PathValue("name")); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.Pol("/exemptions"), "The exemption is removed: its objects are judged again.")
}

// Parameters of definitions and initiatives that the form knows by name.
const (
	paramEffect   = "effect"
	paramExcluded = "excludedNamespaces"
)

// assignForm shows the form of an assignment for the chosen target.
func (h *handler) assignForm(w http.ResponseWriter, r request) error {
	s, err := h.polShell(w, r, "Assign", page.Crumb{Text: "assign"})
	if err != nil {
		return err
	}
	v := page.AssignView{Target: r.query("target")}
	if v.Initiatives, v.Definitions, err = h.library(r); err != nil {
		return err
	}
	params, err := targetInto(&v)
	if err != nil {
		return err
	}
	if v.Target != "" {
		formInto(&v, params)
		if v.Scopes, err = h.scopes(r); err != nil {
			return err
		}
	}
	return h.render(w, r, page.AssignPage(s, v))
}

// targetInto finds what is to be assigned.
func targetInto(v *page.AssignView) (map[string]azure.Parameter, error) {
	kind, name, _ := strings.Cut(v.Target, ":")
	v.Name = name
	for _, i := range v.Initiatives {
		if kind == azure.KindInitiative && i.Name == name {
			v.Title, v.Description = i.Title, i.Description
			return i.Parameters, nil
		}
	}
	for _, d := range v.Definitions {
		if kind == azure.KindDefinition && d.Name == name {
			v.Title, v.Description = d.Title, d.Description
			return d.Parameters, nil
		}
	}
	if v.Target != "" {
		return nil, fault.New(fault.NotFound, "There is no %q to assign.", v.Target).WithNext("choose an initiative or a definition from the list")
	}
	return nil, nil
}

// formInto turns parameters into fields: the effect, the namespaces, and the others as
// JSON with their defaults.
func formInto(v *page.AssignView, params map[string]azure.Parameter) {
	rest := map[string]any{}
	for name, p := range params {
		switch {
		case name == paramEffect:
			v.Effect, _ = p.Default.(string)
			for _, a := range p.Allowed {
				if text, ok := a.(string); ok {
					v.Effects = append(v.Effects, text)
				}
			}
		case name == paramExcluded:
			v.HasExcluded = true
			list, _ := p.Default.([]any)
			var words []string
			for _, one := range list {
				if text, ok := one.(string); ok {
					words = append(words, text)
				}
			}
			v.Namespaces = strings.Join(words, " ")
		default:
			rest[name] = p.Default
		}
	}
	if v.HasParameter = len(rest) > 0; v.HasParameter {
		v.Parameters = page.JSONText(rest)
	}
}

// scopes are those that the visitor may assign in, the narrowest first.
func (h *handler) scopes(r request) ([]string, error) {
	var out []string
	if r.project() != "" {
		list, err := h.Deploy.Environments(r.Context(), r.actor, r.project())
		if err != nil {
			return nil, err
		}
		out = append(out, rule.Project+":"+r.project())
		for _, e := range list {
			out = append(out, rule.Environment+":"+r.project()+"/"+e.Name)
		}
	}
	if r.actor.Admin {
		out = append(out, rule.Platform)
		if name := h.Cluster.Status().Kind; name != "" && name != "none" {
			out = append(out, rule.Cluster+":"+string(name))
		}
	}
	return out, nil
}

// assign takes the form: it becomes an assignment as Azure Policy writes them.
func (h *handler) assign(w http.ResponseWriter, r request) error {
	f := r.PostForm
	raw, err := assignmentOf(r)
	if err != nil {
		return err
	}
	done1, err := h.Policy.Assign(r.Context(), r.actor, raw)
	if err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.Pol("/assignments/"+page.Esc(done1.Name)), "Assigned in "+f.Get("scope")+"; live objects are being judged.")
}

func assignmentOf(r request) (json.RawMessage, error) {
	f := r.PostForm
	kind, target, _ := strings.Cut(f.Get("target"), ":")
	id := "/providers/Microsoft.Authorization/policyDefinitions/" + target
	if kind == azure.KindInitiative {
		id = "/providers/Microsoft.Authorization/policySetDefinitions/" + target
	}
	params := map[string]any{}
	if text := strings.TrimSpace(f.Get("parameters")); text != "" {
		var rest map[string]any
		if err := json.Unmarshal([]byte(text), &rest); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The other parameters are not JSON: %s.", err).WithNext("write an object, such as {\"registries\": [\"registry.example.org\"]}")
		}
		for name, v := range rest {
			params[name] = map[string]any{"value": v}
		}
	}
	if e := f.Get("effect"); e != "" {
		params[paramEffect] = map[string]any{"value": e}
	}
	if f.Has("excluded") {
		list := []string{}
		params[paramExcluded] = map[string]any{"value": append(list, strings.Fields(f.Get("excluded"))...)}
	}
	p := map[string]any{"policyDefinitionId": id, "scope": f.Get("scope"), "enforcementMode": f.Get("enforcement"), "displayName": strings.TrimSpace(f.Get("title"))}
	if len(params) > 0 {
		p["parameters"] = params
	}
	if m := strings.TrimSpace(f.Get("message")); m != "" {
		p["nonComplianceMessages"] = []map[string]any{{"message": m}}
	}
	return json.Marshal(map[string]any{"name": strings.TrimSpace(f.Get("name")), "properties": p})
}

func (h *handler) unassign(w http.ResponseWriter, r request) error {
	if err := h.Policy.Unassign(r.Context(), r.actor, r.PathValue("name")); err != nil {
		return err
	}
	return done(w, r, page.Shell{Project: r.project()}.Pol(""), "The assignment is removed, with its exemptions.")
}
