package validate

import (
	"slices"
	"strings"
)

// graph checks names and dependencies of stages or jobs (T016).
func (v *validator) graph(what string, units []unit) {
	byName := map[string]*unit{}
	var names []string
	for i := range units {
		u := &units[i]
		if u.name == "" {
			continue
		}
		key := strings.ToLower(u.name)
		if first, ok := byName[key]; ok {
			v.found.Errorf(u.node.Pos, "T016", "The %s name '%s' appears more than once; the first is at %s. Names must be unique and differ in more than case", what, u.name, first.node.Pos)
			continue
		}
		byName[key] = u
		names = append(names, u.name)
	}
	for i := range units {
		v.dependencies(what, &units[i], byName, names)
	}
	v.cycles(what, units, byName)
}

func (v *validator) dependencies(what string, u *unit, byName map[string]*unit, names []string) {
	seen := map[string]bool{}
	for _, dependency := range u.dependsOn {
		name := dependency.Text()
		key := strings.ToLower(name)
		target, ok := byName[key]
		switch {
		case name == "":
			continue
		case !ok:
			v.found.Errorf(dependency.Pos, "T016", "The %s '%s' depends on the unknown %s '%s'%s", what, u.label(), what, name, suggest(name, names))
		case target == u:
			v.found.Errorf(dependency.Pos, "T016", "The %s '%s' depends on itself; remove this", what, u.label())
		case seen[key]:
			v.found.Warnf(dependency.Pos, "T016", "The %s '%s' names the dependency '%s' twice", what, u.label(), name)
		}
		seen[key] = true
	}
}

// label names a unit in a message.
func (u *unit) label() string {
	if u.name == "" {
		return "(without a name)"
	}
	return u.name
}

// cycles reports every cycle once, at the first unit of it in the file.
func (v *validator) cycles(what string, units []unit, byName map[string]*unit) {
	const (
		fresh = iota
		open
		done
	)
	state := map[*unit]int{}
	var path []*unit
	var visit func(u *unit)
	visit = func(u *unit) {
		state[u] = open
		path = append(path, u)
		for _, dependency := range u.dependsOn {
			target := byName[strings.ToLower(dependency.Text())]
			switch {
			case target == nil || target == u:
			case state[target] == fresh:
				visit(target)
			case state[target] == open:
				v.found.Errorf(target.node.Pos, "T016", "The dependencies of the %s '%s' form a cycle: %s; remove one of them", what, target.name, cycleText(path, target))
			}
		}
		path = path[:len(path)-1]
		state[u] = done
	}
	for i := range units {
		if state[&units[i]] == fresh {
			visit(&units[i])
		}
	}
}

// cycleText writes the part of the path that is the cycle.
func cycleText(path []*unit, from *unit) string {
	var names []string
	for _, u := range path {
		if u == from || len(names) > 0 {
			names = append(names, u.name)
		}
	}
	return strings.Join(append(names, from.name), " → ")
}

// suggest returns "; did you mean 'x'?" when a known name is close to a wrong
// one, and "" otherwise.
func suggest(wrong string, known []string) string {
	best, distance := "", 1+len(wrong)/3
	for _, name := range known {
		if d := editDistance(strings.ToLower(wrong), strings.ToLower(name), distance); d < distance || d == distance && best == "" && d > 0 && d <= len(wrong)/3 {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean '" + best + "'?"
}

// Nearest returns "; did you mean …?" with the known names that are nearest to a wrong
// one, at most three, or "" when none is near.
func Nearest(wrong string, known []string) string {
	limit := 1 + len(wrong)/3
	byDistance := map[int][]string{}
	for _, name := range known {
		if d := editDistance(strings.ToLower(wrong), strings.ToLower(name), limit); d <= limit {
			byDistance[d] = append(byDistance[d], "'"+name+"'")
		}
	}
	for d := range limit + 1 {
		if names := byDistance[d]; len(names) > 0 {
			slices.Sort(names)
			return "; did you mean " + strings.Join(names[:min(len(names), 3)], " or ") + "?"
		}
	}
	return ""
}

// editDistance counts the letters to insert, remove, replace or swap with their
// neighbour to make b of a; it gives up above limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > 64 || len(b) > 64 {
		return limit + 1
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
