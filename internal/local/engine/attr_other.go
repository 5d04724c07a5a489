//go:build !unix

package engine

import "syscall"

func ownGroup() *syscall.SysProcAttr { return nil }

func groupOf(string) (string, bool) { return "", false }
