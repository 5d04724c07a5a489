package validate

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// uses wants that the repositories which a job says it uses are declared (Y190).
func (v *validator) uses(list *parse.Node) {
	for _, n := range listed(list) {
		name := strings.ToLower(n.Text())
		if name != "" && name != "self" && n.Kind == parse.Scalar && !slices.Contains(v.aliases["repository"], name) {
			v.found.Errorf(n.Pos, "Y190", "The repository '%s' is not declared; add it to resources.repositories, or use 'self'", n.Text())
		}
	}
}

// feedTypes are the types of what comes from outside that can be fetched.
var feedTypes = map[string][]string{"packages": {"npm", "NuGet"}, "builds": {"Jenkins"}}

// feed wants that the server of a package or a build is of a known type (Y091, Y098).
func (v *validator) feed(kind string, item *parse.Node) {
	types, is := feedTypes[kind]
	if t := item.Get("type"); is && t.Text() != "" && !slices.ContainsFunc(types, func(known string) bool { return strings.EqualFold(known, t.Text()) }) {
		rule := map[string]string{"packages": "Y098", "builds": "Y091"}[kind]
		v.lacking(t, rule, "The type '%s' of %s is not supported by this installation; it knows %s, and a script can fetch from others", t.Text(), kind, strings.Join(types, " and "))
	}
}

// fed wants that what a step fetches from outside is declared (Y265, Y270).
func (v *validator) fed(alias *parse.Node, what, where string) {
	if name := alias.Text(); name != "" && !slices.Contains(v.aliases[what], strings.ToLower(name)) {
		v.found.Errorf(alias.Pos, map[string]string{"build": "Y265", "package": "Y270"}[what], "The %s '%s' is not declared; add it to %s", what, name, where)
	}
}
