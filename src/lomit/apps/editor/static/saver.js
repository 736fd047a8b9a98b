// Saves what the server sends.  The file comes inside the answer: it lies nowhere on the server.

watch("value", () => {
  const file = props.value;
  if (!file) return;
  window.dispatchEvent(new CustomEvent("lomit-saved", { detail: file.alert || "" }));
  if (!file.data) return;
  const bytes = Uint8Array.from(atob(file.data), (c) => c.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: file.type }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});
