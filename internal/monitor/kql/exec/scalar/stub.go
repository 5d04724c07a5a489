package scalar

func seriesFuncs() map[string]Func { return nil }
