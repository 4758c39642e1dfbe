//go:build !linux

package main

// dropProgramPages does nothing where there is no cheap way to.
func dropProgramPages() {}
