"""Audio, video and faces: conversion between media and the tensors of the network."""
