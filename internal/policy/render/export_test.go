package render

import "context"

// Twice renders a chart clean and with marks, which are taken out again.
func Twice(c Chart) (clean, marked map[string]string, cleanErr, markedErr error) {
	c.Limits = c.Limits.orDefault()
	var out Result
	ctx, cancel := context.WithTimeout(context.Background(), c.Limits.Time)
	defer cancel()
	user, err := c.userValues(&out)
	if err != nil {
		return nil, nil, err, err
	}
	a, cleanErr := c.rendering(ctx, user, false, &out)
	b, markedErr := c.rendering(ctx, user, true, &out)
	if a != nil {
		clean = a.files
	}
	if b != nil {
		marked = map[string]string{}
		for name, text := range b.files {
			marked[name], _ = strip(text)
		}
	}
	return clean, marked, cleanErr, markedErr
}
