package plan

import (
	"maps"
	"slices"
	"strings"
)

// stageDependencies returns the names that a stage depends on directly.
func (p *Plan) stageDependencies(name string) []string {
	if s := p.Stage(name); s != nil {
		return s.DependsOn
	}
	return nil
}

// jobDependencies returns the names that a job depends on directly.
func (s *Stage) jobDependencies(name string) []string {
	if j := s.Job(name); j != nil {
		return j.DependsOn
	}
	return nil
}

// closure returns the names and everything that they depend on, each once,
// breadth first. It ends on cyclic input, too.
func closure(names []string, dependencies func(name string) []string) []string {
	var all []string
	seen := map[string]bool{}
	queue := slices.Clone(names)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if key := strings.ToLower(name); !seen[key] {
			seen[key] = true
			all = append(all, name)
			queue = append(queue, dependencies(name)...)
		}
	}
	return all
}

// stageState returns what has happened to a stage, under any case of its name.
func (p *Plan) stageState(state State, name string) StageState {
	return lookup(state.Stages, name)
}

// lookup finds an entry by name without regard to case; an exact name is found
// at once.
func lookup[T any](entries map[string]T, name string) T {
	if entry, ok := entries[name]; ok {
		return entry
	}
	for key, entry := range entries {
		if equalFold(key, name) {
			return entry
		}
	}
	var none T
	return none
}

func sortedNames[T any](entries map[string]T) []string {
	return slices.Sorted(maps.Keys(entries))
}
