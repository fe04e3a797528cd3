# sluice. `make help` lists what there is; README.md shows the two commands that do everything: make demo, make test.
SHELL        := /bin/bash
.DEFAULT_GOAL := all
.SUFFIXES:
# objects are kept, whatever needed them
.SECONDARY:
MAKEFLAGS    += --no-builtin-rules

BUILD        ?= build
CC           ?= gcc
CXX          ?= g++
ifeq ($(origin CC),default)
CC           := gcc
endif
ifeq ($(origin CXX),default)
CXX          := g++
endif
OPT          ?= -O3 $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v2) -g
SANITIZE     ?=
PREFIX       ?= /usr/local
VERSION      := $(shell cat VERSION 2>/dev/null || echo 0.0.0)

include deploy/make/flags.mk
include deploy/make/build.mk
include deploy/make/test.mk
include deploy/make/test-plugins.mk
include deploy/make/json.mk
include deploy/make/parquet.mk
include deploy/make/delta.mk
include deploy/make/store.mk
include deploy/make/bench.mk
include deploy/make/fuzz.mk
include deploy/make/lint.mk
include deploy/make/crash.mk
include deploy/make/faults.mk
include deploy/make/tools.mk
