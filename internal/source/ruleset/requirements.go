package ruleset

// Requirements are what a branch demands of a pull request into it.
type Requirements struct {
	Rulesets        []string // names of the active rulesets that apply, sorted
	Pull            bool     // commits come by pull request only
	Approvals       int      // by others than the author and the one who pushed last
	CodeOwners      bool     // of each path that has owners, one must approve
	DropStale       bool     // new commits or a new target drop approvals
	ResolvedThreads bool     // every thread is resolved
	Checks          []Check  // must have succeeded on the head
	Linear          bool     // no merge commits
	Item            bool     // it refers to an item: what is to be done
	// Methods are those that are allowed, of merge, squash and rebase; an empty list allows
	// all. When rulesets leave nothing in common it holds the word "none" only.
	Methods []string
}

// Check names a required check.
type Check struct {
	Name string `json:"name"` // "policy"
	// Source pins who must have reported it: "system:policy", "user:ada"; "" lets anybody
	// with the write role.
	Source string `json:"source,omitempty"`
}
