package page

// Judgement is what policy says about a pull request.
type Judgement struct{}
