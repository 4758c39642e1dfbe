//go:build !linux

package main

// relax is Linux's.
func relax() {}
