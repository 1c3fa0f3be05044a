export function writeSpeedPage(folder: string): string[] {
  return [folder];
}
